# shellcheck shell=bash
# The cells of the paper's grid, for the recipes in this folder to `source`. A cell is a line: seed, start, and for targets the target. A
# start is one intermediate task, several that are trained together (mnli+squad_v1), all of them together (all), or the baseline (none).
# run_cell runs one cell. The scripts skip a finished cell.
#
# MODEL OUT SEEDS STARTS TARGETS LAUNCH FLAGS INTERMEDIATE_FLAGS TARGET_FLAGS RETRIEVAL_FLAGS are taken from the environment if they are set
# (docs/clusters.md has them in a table). A recipe may define a function `flags_of`. It is called with the name of a start or of a target, and
# prints additional flags for it.
#
# MODELS        a folder of an earlier grid: its models are the starts, and nothing is trained for them. A start may then be a finished target
#               (none/xnli). Without it the starts lie in OUT.
# SCORE_FLAGS   scores the finished targets of MODELS again, with these flags and without training (--do_train false).
MODEL=${MODEL:-FacebookAI/xlm-roberta-large}
OUT=${OUT:-out/paper}
SEEDS=${SEEDS:-42 43 44}
STARTS=${STARTS:-none anli mnli qqp squad_v1 squad_v2 hellaswag ccg cosmosqa commonsenseqa all}
TARGETS=${TARGETS:-xnli pawsx udpos panx xquad mlqa tydiqa bucc tatoeba}
LAUNCH=${LAUNCH:-accelerate launch --quiet} # or: python; or: torchrun --standalone --nproc_per_node 4
FLAGS=${FLAGS:-}                            # for both scripts that train, such as "--bf16 --data_dir /data"
INTERMEDIATE_FLAGS=${INTERMEDIATE_FLAGS:-}  # for run_intermediate.py, beside FLAGS
TARGET_FLAGS=${TARGET_FLAGS:-}              # for run_target.py, beside FLAGS
RETRIEVAL_FLAGS=${RETRIEVAL_FLAGS:-}        # for run_retrieval.py, such as "--data_dir /data"
# SAVE_TARGETS=false keeps results and predictions of the targets that train a model, and not the model.

if ! declare -F flags_of >/dev/null; then
  flags_of() { :; }
fi

# number VALUE WHAT: refuses a value that is no whole number of at least 1.
number() {
  if ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "'$1' is no number of $2: a whole one, at least 1, would be right." >&2
    exit 2
  fi
}

# usage RECIPE: prints the recipe's header comment.
usage() {
  sed -n '2,/^set/{/^#SBATCH/d;s/^# \{0,1\}//p;}' "$1"
}

# refuse TEXT: prints the user's mistake in one line and exits with code 2.
refuse() {
  echo "${0##*/}: $1" >&2
  exit 2
}

# help_or_refuse MOST ARGUMENT...: prints the usage for -h and --help. Refuses all other flags, and more than MOST arguments.
help_or_refuse() {
  local most=$1 argument
  shift
  for argument in "$@"; do
    case $argument in
      -h | --help) usage "$0"; exit ;;
      -*) refuse "unknown flag '$argument'; --help says what there is." ;;
    esac
  done
  if (($# > most)); then refuse "'${*:most + 1:1}' is one argument too many; --help says what there is."; fi
}

# intermediate_cells prints `seed start` for every intermediate training. target_cells prints `seed start target` for every target.
intermediate_cells() {
  local seed start
  if [[ ${MODELS:-} ]]; then return; fi
  for seed in $SEEDS; do
    for start in $STARTS; do
      if [[ $start != none ]]; then echo "$seed $start"; fi
    done
  done
}

target_cells() {
  local seed start target first=${SEEDS%% *}
  for seed in $SEEDS; do
    for start in $STARTS; do
      for target in $TARGETS; do
        # The baseline of a retrieval task involves no random numbers, so one seed is enough.
        if [[ $start == none && $seed != "$first" && $target =~ ^(bucc|tatoeba)$ ]]; then continue; fi
        echo "$seed $start $target"
      done
    done
  done
}

# log_of SEED START [TARGET]: prints the log of a cell that runs beside others. A start may be a finished target (none/xnli).
log_of() {
  local name=seed$1-$2${3:+-$3}
  echo "$OUT/logs/${name//\//-}.log"
}

# run_cell SEED START [TARGET]: runs the intermediate training, or the target if one is given.
run_cell() {
  local seed=$1 start=$2 target=${3:-} folder=$OUT/seed$1/$2 model=${MODELS:-$OUT}/seed$1/$2
  if [[ ${SCORE_FLAGS:-} ]]; then model=$model/$target; elif [[ $start == none ]]; then model=$MODEL; fi
  # LAUNCH, the flags and the output of flags_of are lists of words, which must be split.
  # shellcheck disable=SC2046,SC2086
  if [[ ${SCORE_FLAGS:-} ]]; then
    $LAUNCH run_target.py --task "$target" --model_name_or_path "$model" --output_dir "$folder/$target" --do_train false $SCORE_FLAGS
    return
  fi
  # shellcheck disable=SC2046,SC2086
  case $target in
    "")
      $LAUNCH run_intermediate.py --task ${start//+/ } --model_name_or_path "$MODEL" --output_dir "$folder" --seed "$seed" \
        $(flags_of "$start") $INTERMEDIATE_FLAGS $FLAGS ;;
    bucc | tatoeba)
      if [[ $start == none ]]; then folder=$OUT/none; fi
      $LAUNCH run_retrieval.py --task "$target" --model_name_or_path "$model" --output_dir "$folder/$target" \
        $(flags_of "$target") $RETRIEVAL_FLAGS ;;
    *)
      $LAUNCH run_target.py --task "$target" --model_name_or_path "$model" --output_dir "$folder/$target" --seed "$seed" \
        $(flags_of "$target") $TARGET_FLAGS $FLAGS ${SAVE_TARGETS:+--save_model "$SAVE_TARGETS"} ;;
  esac
}
