#!/usr/bin/env bash
# Runs the paper's grid in one loop: the baseline, nine intermediate tasks and all
# nine together, each with nine targets and three seeds.
#
#   recipes/paper_grid.sh  # XLM-R Large -> out/paper
#   # model, folder, seeds
#   RETRIEVAL_FLAGS="--layer 8" recipes/paper_grid.sh \
#     FacebookAI/xlm-roberta-base out/base "42"
#   STARTS="none mnli" TARGETS="xnli tatoeba" FLAGS="--bf16" \
#     LAUNCH="torchrun --nproc_per_node 4" recipes/paper_grid.sh
#   # eight cells at a time, two on each of four GPUs
#   AT_ONCE=8 GPUS="0 1 2 3" FLAGS="--bf16" recipes/paper_grid.sh
#
# AT_ONCE  how many cells run at the same time (1). One cell of XLM-R Large does
#          not fill a fast GPU (benchmarks/at_once.py), so several are faster.
#          LAUNCH must then start one process: accelerate launch would take all
#          GPUs that it sees. The output of the cells goes to OUT/logs, and the
#          terminal shows a line when a cell ends.
# GPUS     a list of GPUs. The cell in slot i of AT_ONCE uses GPU number i modulo
#          the length of this list. Without it, CUDA_VISIBLE_DEVICES is not
#          changed.
# STARTS   may name tasks that are trained together: mnli+squad_v1. The targets of
#          a start begin when its training has ended, those of the baseline as
#          soon as a slot is free.
# FLAGS    for both scripts that train; INTERMEDIATE_FLAGS, TARGET_FLAGS and
#          RETRIEVAL_FLAGS for one script each. docs/clusters.md lists all
#          variables.
# SAVE_TARGETS=false  keeps the results of the targets and not their models: 67 GB
#     for three seeds of XLM-R Large, in place of 585.
# REPORT   no: leave the report out.
#
# The command can be run again: it skips finished cells and resumes cells that
# were cut off. If a cell fails, the recipe reports it, runs the other cells and
# exits with code 1. A cell that failed to learn is tried with other seeds only
# with FLAGS="--retries 2". CCG needs CCGbank: without it, leave ccg and all out
# of STARTS. Retrieval uses layer 14 of XLM-R Large; a model of 12 blocks needs
# --layer.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=recipes/cells.sh
source recipes/cells.sh
help_or_refuse 3 "$@"
MODEL=${1:-$MODEL}
OUT=${2:-$OUT}
SEEDS=${3:-$SEEDS}

AT_ONCE=${AT_ONCE:-1}
number "$AT_ONCE" "cells at once (AT_ONCE)"
GPUS=${GPUS:-}
failed=$(mktemp)     # the names of cells that failed, one a line
declare -A cell_of=() # by process group: the cell that runs in it, with its slot first
declare -A ended=()   # by `seed start`: whether this intermediate training has ended, well or not

# one_cell SEED START [TARGET]: runs a cell in slot $SLOT. A failure is noted in $failed, and the loop continues.
one_cell() {
  local gpus log
  log=$(log_of "$@")
  read -ra gpus <<<"$GPUS"
  if ((${#gpus[@]})); then export CUDA_VISIBLE_DEVICES=${gpus[SLOT % ${#gpus[@]}]}; fi
  if ((AT_ONCE == 1)); then
    run_cell "$@" && return
  else
    run_cell "$@" >>"$log" 2>&1 && echo "done   $log" >&2 && return
    echo "failed $log" >&2
  fi
  echo "seed$1/$2${3:+/$3}" >>"$failed"
}
export -f run_cell one_cell log_of flags_of
export MODEL OUT LAUNCH FLAGS INTERMEDIATE_FLAGS TARGET_FLAGS RETRIEVAL_FLAGS AT_ONCE GPUS failed
export MODELS=${MODELS:-} SCORE_FLAGS=${SCORE_FLAGS:-}

stop() {
  local group
  for group in $(jobs -pr); do kill -- "$group" "-$group" 2>/dev/null || true; done # cell_of may lack the cell that was started last
  rm -f "$failed"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if ((AT_ONCE > 1)); then mkdir -p "$OUT/logs"; fi

# next_cell: takes the first cell off the list whose model is there, and sets `cell` to it. Fails if every cell has to wait.
next_cell() {
  local place seed start target
  for place in "${!waiting[@]}"; do
    cell=${waiting[place]}
    read -r seed start target <<<"$cell"
    if [[ -z $target || $start == none || $MODELS || ${ended["$seed $start"]:-} ]]; then # the models of MODELS are all there
      unset "waiting[place]"
      return
    fi
  done
  return 1
}

mapfile -t waiting < <(intermediate_cells && target_cells)
mapfile -t slots < <(seq 0 $((AT_ONCE - 1)))
while ((${#waiting[@]} + ${#cell_of[@]})); do
  while ((${#slots[@]})) && next_cell; do
    # setsid makes a new session, so that `stop` can end all processes that a cell has started.
    # shellcheck disable=SC2086
    SLOT=${slots[0]} setsid bash -c 'one_cell "$@"' _ $cell </dev/null &
    cell_of[$!]="${slots[0]} $cell"
    slots=("${slots[@]:1}")
  done
  wait -n || true
  for group in "${!cell_of[@]}"; do
    if ! kill -0 "$group" 2>/dev/null; then
      read -r slot seed start target <<<"${cell_of[$group]}"
      if [[ -z $target ]]; then ended["$seed $start"]=1; fi
      slots+=("$slot")
      unset "cell_of[$group]"
    fi
  done
done

if [[ ${REPORT:-yes} == yes ]]; then python run_report.py "$OUT" --output_dir "$OUT/report" || echo report >>"$failed"; fi
if [[ -s $failed ]]; then
  echo "failed, run the same command again for these alone: $(paste -sd " " "$failed")" >&2
  exit 1
fi
