# shellcheck shell=bash
# What the recipes of the five questions share, for them to `source`. A question is one grid or several, one after the other: its passes. A
# pass is recipes/paper_grid.sh with variables of its own, so everything that works there works here (AT_ONCE, GPUS, LAUNCH, FLAGS).
#
# QUESTION  the name of the question, set by the recipe
# DATA_DIR  a folder laid out by hub id, in place of the hub
# GRID      what runs a pass: recipes/paper_grid.sh, or "recipes/slurm_grid.sbatch submit"
# PASS      run this pass alone, and no report. Under SLURM a pass is submitted when the jobs of the one before have ended
# Shellcheck does not see that cells.sh reads these variables.
# shellcheck disable=SC2034
OUT=${OUT:-out/questions/$QUESTION}
GRID=${GRID:-recipes/paper_grid.sh}
given_starts=${STARTS:-} given_targets=${TARGETS:-} given_score_flags=${SCORE_FLAGS:-}
unset SCORE_FLAGS # of the passes that score without training
# shellcheck source=recipes/cells.sh
source recipes/cells.sh
help_or_refuse 0 "$@"
if ! [[ ${PASS:-1} =~ ^[1-9][0-9]*$ ]]; then refuse "PASS=$PASS is no number of a pass."; fi
if [[ $GRID == *slurm* && -z ${PASS:-} ]]; then refuse "under SLURM name one pass: PASS=1, and when its jobs have ended PASS=2."; fi
if [[ ${SAVE_TARGETS:-} == false && $QUESTION =~ ^(alignment|low_resource)$ ]]; then
  refuse "SAVE_TARGETS=false: later passes of $QUESTION start from the models of the targets. Leave it out."
fi
if [[ ${MINIATURE:-} ]]; then exec python -m samples.question "$QUESTION" --output_dir "$OUT-miniature"; fi
if [[ ${DATA_DIR:-} ]]; then
  if [[ ! -d $DATA_DIR ]]; then refuse "DATA_DIR=$DATA_DIR: no such folder."; fi
  if [[ $DATA_DIR == *[[:space:]]* ]]; then refuse "DATA_DIR=$DATA_DIR: a path without spaces would be right."; fi
  FLAGS="--data_dir $DATA_DIR $FLAGS"
  RETRIEVAL_FLAGS="--data_dir $DATA_DIR $RETRIEVAL_FLAGS"
fi
passes=0 any_failed=0

# starts DEFAULT and targets DEFAULT print those of the environment, else these.
starts() { echo "${given_starts:-$1}"; }
targets() { echo "${given_targets:-$1}"; }

# run_pass NAME=VALUE...: one grid with these variables. A pass with failed cells does not stop the others.
run_pass() {
  passes=$((passes + 1))
  if [[ ${PASS:-$passes} != "$passes" ]]; then return; fi
  echo "$QUESTION, pass $passes: $*" >&2
  # GRID is a list of words.
  # shellcheck disable=SC2086
  env MODEL="$MODEL" OUT="$OUT" SEEDS="$SEEDS" LAUNCH="$LAUNCH" FLAGS="$FLAGS" RETRIEVAL_FLAGS="$RETRIEVAL_FLAGS" REPORT=no "$@" $GRID \
    || any_failed=1
}

# finish [FLAG...]: the report with the question's section; exit code 1 if a cell failed.
finish() {
  if [[ ${PASS:-} && $PASS -gt $passes ]]; then refuse "PASS=$PASS: $QUESTION has $passes passes."; fi
  if [[ -z ${PASS:-} ]]; then python run_report.py "$OUT" --output_dir "$OUT/report" --questions "$QUESTION" "$@"; fi
  exit "$any_failed"
}
