# shellcheck shell=bash
# The paper's grid as data, for the recipes beside this file: `source` it. Each line of `cells` is: seed, start, task (start "none": no
# intermediate training). run_cell runs one of them; a finished one is skipped by the scripts themselves.
#
# MODEL OUT SEEDS STARTS TARGETS LAUNCH FLAGS are taken from the environment where they are set.
MODEL=${MODEL:-FacebookAI/xlm-roberta-large}
OUT=${OUT:-out/paper}
SEEDS=${SEEDS:-42 43 44}
STARTS=${STARTS:-none anli mnli qqp squad_v1 squad_v2 hellaswag ccg cosmosqa commonsenseqa all}
TARGETS=${TARGETS:-xnli pawsx udpos panx xquad mlqa tydiqa bucc tatoeba}
LAUNCH=${LAUNCH:-accelerate launch} # or: python; or: torchrun --standalone --nproc_per_node 4
FLAGS=${FLAGS:-}                    # for every script that trains, such as "--bf16 --data_dir /data"
RETRIEVAL_FLAGS=${RETRIEVAL_FLAGS:-} # for run_retrieval.py, such as "--data_dir /data"

# intermediate_cells: `seed start` for every intermediate training; target_cells: `seed start target` for all that follows.
intermediate_cells() {
  local seed start
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
        # Retrieval without training draws nothing: one seed is all seeds.
        if [[ $start == none && $seed != "$first" && $target =~ ^(bucc|tatoeba)$ ]]; then continue; fi
        echo "$seed $start $target"
      done
    done
  done
}

# run_cell SEED START [TARGET]
run_cell() {
  local seed=$1 start=$2 target=${3:-} folder=$OUT/seed$1/$2 model=$OUT/seed$1/$2
  if [[ $start == none ]]; then model=$MODEL; fi
  # LAUNCH and FLAGS are lists of words.
  # shellcheck disable=SC2086
  case $target in
    "") $LAUNCH run_intermediate.py --task "$start" --model_name_or_path "$MODEL" --output_dir "$folder" --seed "$seed" $FLAGS ;;
    bucc | tatoeba)
      if [[ $start == none ]]; then folder=$OUT/none; fi
      $LAUNCH run_retrieval.py --task "$target" --model_name_or_path "$model" --output_dir "$folder/$target" $RETRIEVAL_FLAGS ;;
    *) $LAUNCH run_target.py --task "$target" --model_name_or_path "$model" --output_dir "$folder/$target" --seed "$seed" $FLAGS ;;
  esac
}
