#!/usr/bin/env bash
# Question cross_task: how does training on one kind of task carry over to other
# kinds, on XTREME and on XTREME-R? With mBERT; MODEL names another encoder. Each
# target that both benchmarks have is scored once, in XTREME-R's languages, which
# hold XTREME's.
#
#   recipes/questions/cross_task.sh  # mBERT -> out/questions/cross_task
#   # miniature data, offline, two CPU cores
#   MINIATURE=1 recipes/questions/cross_task.sh
#   MODEL=FacebookAI/xlm-roberta-large LAYER=14 recipes/questions/cross_task.sh
#   PASS=1 GRID="recipes/slurm_grid.sbatch submit" recipes/questions/cross_task.sh
#
# LAYER  the layer whose output retrieval reads (8 of mBERT's 12)
# MODEL OUT SEEDS STARTS TARGETS FLAGS LAUNCH AT_ONCE GPUS DATA_DIR are those of
# recipes/paper_grid.sh. CCG needs CCGbank: without it, leave it out of STARTS.
# LAReQA and Mewsli-X, which need a dual encoder, are not among the targets. The
# command can be run again: it skips finished cells.
set -euo pipefail
cd "$(dirname "$0")/../.."
QUESTION=cross_task
MODEL=${MODEL:-google-bert/bert-base-multilingual-cased}
# shellcheck source=recipes/questions/passes.sh
source recipes/questions/passes.sh

# flags_of START or TARGET: the languages of XTREME-R where it has more than XTREME, and the layer of retrieval.
flags_of() {
  case $1 in
    udpos | panx | xquad) echo "--benchmark xtreme-r" ;;
    tatoeba) echo "--benchmark xtreme-r --layer ${LAYER:-8}" ;;
    bucc) echo "--layer ${LAYER:-8}" ;;
  esac
}
export -f flags_of
run_pass STARTS="$(starts "none anli mnli qqp squad_v1 squad_v2 hellaswag ccg cosmosqa commonsenseqa")" \
  TARGETS="$(targets "xnli pawsx xcopa udpos panx xquad mlqa tydiqa bucc tatoeba")"
finish
