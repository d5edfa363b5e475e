#!/usr/bin/env bash
# Question calibration: how does intermediate training change calibration across
# typological groups of languages? All starts on targets of four kinds
# (classification, multiple choice, tagging, question answering), and the same
# again with label smoothing.
#
#   recipes/questions/calibration.sh  # XLM-R Large -> out/questions/calibration
#   # miniature data, offline, two CPU cores
#   MINIATURE=1 recipes/questions/calibration.sh
#   STARTS="none mnli" TARGETS="xnli xquad" recipes/questions/calibration.sh
#   # then PASS=2
#   PASS=1 GRID="recipes/slurm_grid.sbatch submit" \
#     recipes/questions/calibration.sh
#
# SMOOTHING   --label_smoothing_factor of the targets in pass 2 (0.1)
# SHOTS       test examples of each language for a temperature of its own (100)
# MODEL OUT SEEDS STARTS TARGETS FLAGS LAUNCH AT_ONCE GPUS DATA_DIR are those of
# recipes/paper_grid.sh. CCG needs CCGbank: without it, leave it out of STARTS.
# The command can be run again: it skips finished cells.
set -euo pipefail
cd "$(dirname "$0")/../.."
QUESTION=calibration
# shellcheck source=recipes/questions/passes.sh
source recipes/questions/passes.sh
all=$(starts "none anli mnli qqp squad_v1 squad_v2 hellaswag ccg cosmosqa commonsenseqa")
chosen=$(targets "xnli xcopa udpos xquad")
run_pass STARTS="$all" TARGETS="$chosen"
run_pass STARTS="$all" TARGETS="$chosen" OUT="$OUT/label_smoothing" MODELS="$OUT" FLAGS="$FLAGS --label_smoothing_factor ${SMOOTHING:-0.1}"
finish --temperature_examples "${SHOTS:-100}"
