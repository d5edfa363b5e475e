#!/usr/bin/env bash
# Question domain: do intermediate tasks from another text domain help less than
# those of the target's own? All intermediate tasks are cut to the same number of
# examples, so that size is not taken for domain. docs/questions.md has the
# design, and what would count as yes or no.
#
#   recipes/questions/domain.sh  # XLM-R Large -> out/questions/domain
#   # miniature data, offline, two CPU cores
#   MINIATURE=1 recipes/questions/domain.sh
#   # eight cells at a time on four GPUs
#   AT_ONCE=8 GPUS="0 1 2 3" LAUNCH=python recipes/questions/domain.sh
#   PASS=1 GRID="recipes/slurm_grid.sbatch submit" recipes/questions/domain.sh
#
# SIZE   examples of each intermediate task (9000, fewer than the smallest has)
# MODEL OUT SEEDS STARTS TARGETS FLAGS LAUNCH AT_ONCE GPUS DATA_DIR are those of
# recipes/paper_grid.sh. CCG needs CCGbank: without it, leave it out of STARTS.
# The command can be run again: it skips finished cells.
set -euo pipefail
cd "$(dirname "$0")/../.."
QUESTION=domain
# shellcheck source=recipes/questions/passes.sh
source recipes/questions/passes.sh

# flags_of START or TARGET: intermediate tasks are cut to the same size.
flags_of() {
  case $1 in
    anli | mnli | qqp | squad_v1 | squad_v2 | hellaswag | ccg | cosmosqa | commonsenseqa) echo "--max_train_samples ${SIZE:-9000}" ;;
  esac
}
export -f flags_of
run_pass STARTS="$(starts "none anli mnli qqp squad_v1 squad_v2 hellaswag ccg cosmosqa commonsenseqa")" \
  TARGETS="$(targets "xnli pawsx panx xquad mlqa tydiqa bucc tatoeba")"
finish
