#!/usr/bin/env bash
# Runs a small grid with a real encoder on real languages: the baseline, MNLI,
# SQuAD and both together, each with the targets XNLI, POS tagging, XQuAD and
# Tatoeba, all four in the languages of XTREME-R. Epochs and learning rates suit
# small encoders and training sets of about 1,000 to 2,000 examples.
#
#   recipes/real_languages.sh  # seed 42, data from the hub
#   DATA_DIR=../shared/real/datasets recipes/real_languages.sh 42 43 44
#   MODEL=path/to/encoder OUT=out/mine JOBS=4 FLAGS="--max_train_samples 500" \
#     recipes/real_languages.sh
#
# The arguments are seeds. Relative paths start at the repository's folder. These
# variables of the environment can be set:
#   MODEL         a folder or hub id (intfloat/multilingual-e5-small)
#   DATA_DIR      a folder laid out by hub id; without it the data come from the
#                 hub, whose training sets are large
#   OUT           the folder for results (out/real_languages); every run keeps its
#                 model in it
#   JOBS          the number of cells that run at the same time, with one thread
#                 each (2)
#   STARTS        of: none mnli squad_v1 mnli+squad_v1 (none is the baseline)
#   TARGETS       of: xnli udpos xquad tatoeba; and sib200, if it is named
#   FLAGS         for both scripts that train; INTERMEDIATE_FLAGS for intermediate
#                 training alone
#   TARGET_FLAGS  for every script that scores, such as
#                 TARGET_FLAGS="--max_predict_samples 500"
#   LAYER         the layer whose output Tatoeba uses (12, the last of a small
#                 encoder)
#
# The command can be run again: it skips finished cells and resumes cells that
# were cut off. At the end it writes the report of run_report.py to OUT/report. A
# recipe of questions/ takes this one as its GRID (docs/questions.md).
set -euo pipefail
cd "$(dirname "$0")/.."
MODEL=${MODEL:-intfloat/multilingual-e5-small}
OUT=${OUT:-out/real_languages}
STARTS=${STARTS:-none mnli squad_v1 mnli+squad_v1}
TARGETS=${TARGETS:-xnli udpos xquad tatoeba}
SEEDS=${SEEDS:-42}
LAUNCH=${LAUNCH:-python}
# shellcheck source=recipes/cells.sh
source recipes/cells.sh
help_or_refuse 99 "$@"
SEEDS=${*:-$SEEDS}
for seed in $SEEDS; do
  if ! [[ $seed =~ ^[0-9]+$ ]]; then refuse "'$seed' is no seed: a whole number would be right."; fi
  if (($(grep -cx "$seed" <<<"${SEEDS// /$'\n'}") > 1)); then refuse "seed $seed is named twice."; fi
done
if [[ ${DATA_DIR:-} ]]; then
  if [[ ! -d $DATA_DIR ]]; then refuse "DATA_DIR=$DATA_DIR: no such folder."; fi
  if [[ $DATA_DIR == *[[:space:]]* ]]; then refuse "DATA_DIR=$DATA_DIR: a path without spaces would be right."; fi
  FLAGS="--data_dir $DATA_DIR $FLAGS"
  RETRIEVAL_FLAGS="--data_dir $DATA_DIR $RETRIEVAL_FLAGS"
fi
RETRIEVAL_FLAGS="$TARGET_FLAGS $RETRIEVAL_FLAGS"

# flags_of START or TARGET: prints the flags of a cell. run_cell of cells.sh calls it for each cell.
flags_of() {
  case $1 in
    mnli | mnli+squad_v1) echo "--num_train_epochs 5 --learning_rate 1e-4" ;;
    squad_v1) echo "--num_train_epochs 3 --learning_rate 2e-4 --max_seq_length 256" ;;
    xnli) echo "--num_train_epochs 5 --learning_rate 1e-4 --benchmark xtreme-r --languages en sw" ;;
    udpos)
      echo "--num_train_epochs 3 --learning_rate 5e-5 --benchmark xtreme-r --languages en af bg de el fa he hu id ko mr vi" ;;
    xquad)
      echo "--num_train_epochs 3 --learning_rate 2e-4 --max_seq_length 256 --benchmark xtreme-r --languages en ar de es hi ro ru zh" ;;
    sib200) echo "--num_train_epochs 10 --learning_rate 1e-4 --languages en af ar de el es hi id ja ko qu ru sw th vi wo yo zh" ;;
    tatoeba)
      echo "--layer ${LAYER:-12} --benchmark xtreme-r --languages af ar bg de el es fa fr he hu id ja ko mr pl ru sw th uk vi zh" ;;
  esac
}
export -f flags_of
export MODEL OUT SEEDS STARTS TARGETS LAUNCH FLAGS INTERMEDIATE_FLAGS TARGET_FLAGS RETRIEVAL_FLAGS
export AT_ONCE=${JOBS:-2} OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
exec recipes/paper_grid.sh
