#!/usr/bin/env bash
# The paper's grid in one loop: nine intermediate tasks, all nine together and none, each before nine targets, three seeds.
#
#   recipes/paper_grid.sh                                             # XLM-R Large -> out/paper
#   RETRIEVAL_FLAGS="--layer 8" recipes/paper_grid.sh FacebookAI/xlm-roberta-base out/base "42"   # model, folder, seeds
#   STARTS="none mnli" TARGETS="xnli tatoeba" FLAGS="--bf16" LAUNCH="torchrun --nproc_per_node 4" recipes/paper_grid.sh
#
# Restartable: finished cells are skipped, one that was cut off goes on. A cell that fails is reported, the others go on, and the exit
# code is 1; one that failed to learn needs FLAGS="--retries 2" to go on. CCG needs CCGbank: without it, leave ccg and all out of STARTS.
# Retrieval reads layer 14 of XLM-R Large; a model of 12 blocks needs --layer.
set -euo pipefail
cd "$(dirname "$0")/.."
MODEL=${1:-${MODEL:-FacebookAI/xlm-roberta-large}}
OUT=${2:-${OUT:-out/paper}}
SEEDS=${3:-${SEEDS:-42 43 44}}
# shellcheck source=recipes/cells.sh
source recipes/cells.sh

trap 'exit 130' INT # else Ctrl-C would end one cell and begin the next: accelerate turns it into an exit code
failed=()
while read -r seed start target; do
  # Without </dev/null a launcher would eat the list of cells.
  run_cell "$seed" "$start" ${target:+"$target"} </dev/null || failed+=("seed$seed/$start${target:+/$target}")
done < <(intermediate_cells; target_cells)

python grid_table.py "$OUT" --markdown "$OUT/table.md" || failed+=("table")
if ((${#failed[@]})); then
  printf 'failed, run the same command again for these alone: %s\n' "${failed[*]}" >&2
  exit 1
fi
