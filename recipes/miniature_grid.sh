#!/usr/bin/env bash
# The whole grid on the miniature world, offline, on two CPU cores: 30 intermediate trainings, 293 scored runs, about an hour or two.
#
#   recipes/miniature_grid.sh                       # -> out/grid/table.md and table.png
#   recipes/miniature_grid.sh --seeds 42 --jobs 4   # flags of `python -m samples.grid`
#
# Restartable: finished cells are skipped. A process start costs 6 seconds, so two worker processes run all cells.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python -m samples.grid --output_dir "${OUT:-out/grid}" "$@"
