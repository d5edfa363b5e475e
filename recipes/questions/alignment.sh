#!/usr/bin/env bash
# Question alignment: does English intermediate training degrade the alignment of
# distant languages, compared with tuning on the target language? Tatoeba at every
# layer, before any training, after each intermediate task, and after PAN-X in all
# of its languages.
#
#   recipes/questions/alignment.sh  # XLM-R Large -> out/questions/alignment
#   # miniature data, offline, two CPU cores
#   MINIATURE=1 recipes/questions/alignment.sh
#   MODEL=FacebookAI/xlm-roberta-base LAYER=8 recipes/questions/alignment.sh
#   # then PASS=2 and PASS=3
#   PASS=1 GRID="recipes/slurm_grid.sbatch submit" recipes/questions/alignment.sh
#
# LAYER   the layer that the answer is read from (14); --layers all measures the
#         others too
# TUNED   the target that is trained in all of its languages (panx: 40 languages;
#         or xnli, udpos, pawsx, sib200)
# TRAIN_LANGUAGES  some of them, in place of all
# MODEL OUT SEEDS STARTS FLAGS LAUNCH AT_ONCE GPUS DATA_DIR are those of
# recipes/paper_grid.sh. Pass 1: before and after intermediate training; 2: PAN-X
# in all languages; 3: retrieval after it. The command can be run again: it skips
# finished cells.
set -euo pipefail
cd "$(dirname "$0")/../.."
QUESTION=alignment
# shellcheck source=recipes/questions/passes.sh
source recipes/questions/passes.sh
RETRIEVAL_FLAGS="--layers all --layer ${LAYER:-14} $RETRIEVAL_FLAGS"
tuned=${TUNED:-panx}
run_pass STARTS="$(starts "none anli mnli qqp squad_v1 squad_v2 hellaswag ccg cosmosqa commonsenseqa")" TARGETS=tatoeba
run_pass STARTS=none TARGETS="$tuned" OUT="$OUT/tuned" FLAGS="$FLAGS --train_languages ${TRAIN_LANGUAGES:-all}"
run_pass STARTS="none/$tuned" TARGETS=tatoeba OUT="$OUT/tuned" MODELS="$OUT/tuned"
finish
