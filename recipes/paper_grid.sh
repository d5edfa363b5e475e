#!/usr/bin/env bash
# The paper's grid in one loop: the baseline, nine intermediate tasks and all nine together, each before nine targets, three seeds.
#
#   recipes/paper_grid.sh                                             # XLM-R Large -> out/paper
#   RETRIEVAL_FLAGS="--layer 8" recipes/paper_grid.sh FacebookAI/xlm-roberta-base out/base "42"   # model, folder, seeds
#   STARTS="none mnli" TARGETS="xnli tatoeba" FLAGS="--bf16" LAUNCH="torchrun --nproc_per_node 4" recipes/paper_grid.sh
#   AT_ONCE=8 GPUS="0 1 2 3" FLAGS="--bf16" recipes/paper_grid.sh     # eight cells side by side, two on each of four GPUs
#
# AT_ONCE: how many cells run side by side (1). One of XLM-R Large in bf16 takes 9 GB and leaves the GPU idle most of the time, so several
# fill it. For a LAUNCH with one process: accelerate launch takes all GPUs that it sees. Their output goes to OUT/logs, and the terminal
# gets a line when one ends. GPUS: the cell in slot i of AT_ONCE sees GPU number i modulo this list alone; left out,
# CUDA_VISIBLE_DEVICES stays as it is. Targets begin when all intermediate trainings have ended. STARTS may name tasks that are trained
# together: mnli+squad_v1.
#
# Restartable: finished cells are skipped, one that was cut off goes on. A cell that fails is reported, the others go on, and the exit
# code is 1; one that failed to learn needs FLAGS="--retries 2" to go on. CCG needs CCGbank: without it, leave ccg and all out of STARTS.
# Retrieval reads layer 14 of XLM-R Large; a model of 12 blocks needs --layer.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=recipes/cells.sh
source recipes/cells.sh
help_or_refuse 3 "$@"
MODEL=${1:-$MODEL}
OUT=${2:-$OUT}
SEEDS=${3:-$SEEDS}

if ! [[ ${AT_ONCE:=1} =~ ^[1-9][0-9]*$ ]]; then
  echo "'$AT_ONCE' is no number of cells at once (AT_ONCE): a whole one, at least 1, would be right." >&2
  exit 2
fi
GPUS=${GPUS:-}
failed=$(mktemp) # the names of cells that failed, one a line
running=         # the process group of all cells that run

# one_cell SEED START [TARGET], in slot $SLOT: notes a failure, and the loop goes on.
one_cell() {
  local gpus log=$OUT/logs/seed$1-$2${3:+-$3}.log
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
export -f run_cell one_cell flags_of
export MODEL OUT LAUNCH FLAGS RETRIEVAL_FLAGS AT_ONCE GPUS failed

stop() {
  if [[ $running ]]; then kill -- "$running" "-$running" 2>/dev/null || true; fi
  rm -f "$failed"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if ((AT_ONCE > 1)); then mkdir -p "$OUT/logs"; fi
for cells in intermediate_cells target_cells; do
  # In a session of its own, so that `stop` reaches whatever a cell has started; xargs gives cells an empty stdin.
  $cells | setsid xargs -r -L 1 -P "$AT_ONCE" --process-slot-var=SLOT bash -c 'one_cell "$@"' _ &
  running=$!
  wait "$running"
  running=
done

python run_report.py "$OUT" --output_dir "$OUT/report" || echo report >>"$failed"
if [[ -s $failed ]]; then
  echo "failed, run the same command again for these alone: $(paste -sd " " "$failed")" >&2
  exit 1
fi
