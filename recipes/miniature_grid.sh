#!/usr/bin/env bash
# The whole grid on miniature data, offline, on two CPU cores: 30 intermediate
# trainings, 293 scored runs, about an hour or two.
#
#   recipes/miniature_grid.sh  # -> out/grid/report
#   # flags of samples.grid; `python -m samples.grid --help` lists them
#   recipes/miniature_grid.sh --seeds 42 --jobs 4
#
# The command can be run again: it skips finished cells. A few worker processes
# run all cells, because each new process takes seconds to start.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-out/grid}
# shellcheck source=recipes/cells.sh
source recipes/cells.sh
if [[ ${1:-} == -h || ${1:-} == --help ]]; then help_or_refuse 1 "$1"; fi
exec python -m samples.grid --output_dir "$OUT" "$@"
