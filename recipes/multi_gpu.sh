#!/usr/bin/env bash
# Runs one cell on several GPUs, or on several machines. The effective batch is
# that of the recipe: the script computes accumulation steps from the number of
# processes, and prints them in its first lines. The scores are therefore those of
# one GPU up to rounding.
#
#   # 4 GPUs, one machine
#   recipes/multi_gpu.sh 4 run_target.py --task xnli \
#     --model_name_or_path out/mnli --output_dir out/mnli/xnli
#   # on machine 0 of 2
#   NODES=2 RANK=0 MASTER=10.0.0.1 recipes/multi_gpu.sh 4 run_intermediate.py \
#     --task mnli --output_dir out/mnli
#   # on machine 1 of 2
#   NODES=2 RANK=1 MASTER=10.0.0.1 recipes/multi_gpu.sh 4 run_intermediate.py \
#     --task mnli --output_dir out/mnli
#   # with accelerate
#   LAUNCHER=accelerate recipes/multi_gpu.sh 4 run_target.py ...
#   recipes/multi_gpu.sh 2 run_target.py ... --use_cpu  # two CPU processes
#
# --output_dir must be a folder that all machines share. Under SLURM:
#
#   srun --nodes 2 --ntasks-per-node 1 --gpus-per-node 4 bash -c \
#     'NODES=$SLURM_NNODES RANK=$SLURM_NODEID \
#     MASTER=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1) \
#     recipes/multi_gpu.sh 4 ...'
set -euo pipefail
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in
  -h | --help) usage; exit ;;
  -[!0-9]*) echo "multi_gpu.sh: unknown flag '$1'; flags belong to the script, behind its name. --help says more." >&2; exit 2 ;;
esac
if (($# < 2)); then
  usage >&2
  exit 2
fi
gpus=$1
shift
if [[ $1 == -* ]]; then
  echo "multi_gpu.sh: '$1' stands where the script must be: multi_gpu.sh $gpus run_target.py $1 ... would be right." >&2
  exit 2
fi
nodes=${NODES:-1} rank=${RANK:-0} master=${MASTER:-} port=${PORT:-29500}
# This recipe checks numbers itself: the launchers would end in a traceback, and bash arithmetic would take a word for a variable's name.
check() {
  if ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "'$1' is no number of $2: a whole one, at least 1, would be right." >&2
    exit 2
  fi
}
check "$gpus" GPUs
check "$nodes" "machines (NODES)"
if ((nodes > 1)) && [[ -z $master ]]; then
  echo "NODES=$nodes needs MASTER, the address of machine 0." >&2
  exit 2
fi
unset RANK # The launcher gives each process its own RANK.
if [[ ${LAUNCHER:-torchrun} == accelerate ]]; then
  several=()
  if ((gpus * nodes > 1)); then several=(--multi_gpu); fi
  command=(accelerate launch ${several[@]+"${several[@]}"} --num_processes $((gpus * nodes)) --num_machines "$nodes" --machine_rank "$rank" --main_process_port "$port")
  if ((nodes > 1)); then command+=(--main_process_ip "$master"); fi
elif ((nodes > 1)); then
  command=(torchrun --nnodes "$nodes" --nproc_per_node "$gpus" --node_rank "$rank" --master_addr "$master" --master_port "$port")
else
  command=(torchrun --standalone --nproc_per_node "$gpus")
fi
exec "${command[@]}" "$@"
