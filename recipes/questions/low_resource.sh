#!/usr/bin/env bash
# Question low_resource: is transfer to low-resource languages more robust after
# English intermediate training than after multilingual fine-tuning of the target?
# Arms: none, intermediate, multilingual (the hub's training data in all
# languages), few-shot; then every finished target is scored again on perturbed
# text, without training.
#
#   recipes/questions/low_resource.sh  # XLM-R Large -> out/questions/low_resource
#   # miniature data, offline, two CPU cores
#   MINIATURE=1 recipes/questions/low_resource.sh
#   NOISES="typos:0.05 typos:0.2" recipes/questions/low_resource.sh
#   # then PASS=2 and so on; --help says how many
#   PASS=1 GRID="recipes/slurm_grid.sbatch submit" \
#     recipes/questions/low_resource.sh
#
# NOISES  perturbations of the test text (typos:0.1 diacritics:1 normalisation:1
#         script_noise:0.1); each is three passes
# SCORE_FLAGS  for the passes that score again, such as those of FLAGS that say
#              how text is read: "--max_seq_length 256"
# SHOTS   examples of each language in the few-shot arm (100)
# TRAIN_LANGUAGES  what the multilingual and the few-shot arm are trained on
#                  ("all": every language of the target that has training data)
# MODEL OUT SEEDS STARTS TARGETS FLAGS LAUNCH AT_ONCE GPUS DATA_DIR are those of
# recipes/paper_grid.sh; TARGETS must have training data in other languages (xnli
# panx udpos pawsx sib200). Pass 1: none and intermediate; 2: multilingual; 3:
# few-shot; from 4 on: perturbed text. The command can be run again: it skips
# finished cells.
set -euo pipefail
cd "$(dirname "$0")/../.."
QUESTION=low_resource
# shellcheck source=recipes/questions/passes.sh
source recipes/questions/passes.sh
plain=$(starts "none mnli squad_v1")
chosen=$(targets "xnli panx udpos")
train="--train_languages ${TRAIN_LANGUAGES:-all}"
run_pass STARTS="$plain" TARGETS="$chosen"
run_pass STARTS=none TARGETS="$chosen" OUT="$OUT/multilingual" FLAGS="$FLAGS $train"
run_pass STARTS=none TARGETS="$chosen" OUT="$OUT/few_shot" FLAGS="$FLAGS $train --max_train_samples ${SHOTS:-100}"
for noise in ${NOISES:-typos:0.1 diacritics:1 normalisation:1 script_noise:0.1}; do
  noisy=$OUT/perturbed/${noise/:/_}
  for arm in "" /multilingual /few_shot; do
    if [[ $arm ]]; then of_arm=none; else of_arm=$plain; fi
    run_pass STARTS="$of_arm" TARGETS="$chosen" OUT="$noisy$arm" MODELS="$OUT$arm" \
      SCORE_FLAGS="${DATA_DIR:+--data_dir $DATA_DIR }--perturb $noise $given_score_flags"
  done
done
finish
