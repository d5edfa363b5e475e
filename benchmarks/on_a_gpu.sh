#!/usr/bin/env bash
# Runs all measurements that need a GPU, the most important ones first. Copy the figures to benchmarks/README.md, docs/efficiency.md
# ("Modest GPUs") and ds_configs/README.md, with the name of the card.
#
#   benchmarks/on_a_gpu.sh DATA [OUT]      # DATA: a --data_dir with MNLI, such as samples/data; OUT: folder for logs, out/gpu
#
# Without internet set TOKENIZER=samples/encoder. The model then has few pieces; at_once prints how many. Each part has a time limit. The times
# that the parts took are in benchmarks/README.md ("On a GPU").
set -uo pipefail
case ${1:-} in
  -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit ;;
  -* | "") echo "on_a_gpu.sh: '${1:-}' is no folder of data: benchmarks/on_a_gpu.sh DATA [OUT] would be right. --help says more." >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.." || exit
data=$1 out=${2:-out/gpu} tokenizer=${TOKENIZER:-FacebookAI/xlm-roberta-large} failed=()
mkdir -p "$out"
python -c 'import torch; print(torch.cuda.get_device_name(), torch.__version__)' || exit 2

part() { # NAME SECONDS COMMAND ...
  local name=$1 seconds=$2
  shift 2
  printf '\n== %s\n%s\n' "$name" "$*"
  timeout "$seconds" "$@" 2> "$out/$name.err" | tee "$out/$name.txt"
  if ((PIPESTATUS[0])); then failed+=("$name"); tail -n 3 "$out/$name.err"; fi
}

part tests 300 python -m pytest -q -n 4 tests/test_gpu.py tests/test_triton_attention.py
throughput=(python benchmarks/throughput.py --shape xlmr-large --compile --tasks mnli --data_dir "$data" --tokenizer "$tokenizer" --rounds 3)
part throughput 90 "${throughput[@]}" --batch 32 --steps 10
part throughput_large 90 "${throughput[@]}" --batch 1024 --effective_batch 1024 --steps 1 --without jiant "ours, padded" # 60 GB
part attention 30 python benchmarks/attention.py
part at_once 240 python benchmarks/at_once.py --runs 1 2 4 --data_dir "$data" --tokenizer "$tokenizer"
part memory_cards 600 python benchmarks/memory.py --cards --length 128 384
six=(env PYTORCH_ALLOC_CONF=expandable_segments:True python benchmarks/memory.py --gb 6 --task xnli --max_seq_length 128) # without gaps
part memory_6 120 "${six[@]}"
part memory_6_all 240 "${six[@]}" --pieces 250002
part mining 60 python benchmarks/mining.py --sentences 0
part precision 90 python benchmarks/precision.py --data_dir "$data"
if ((${#failed[@]})); then
  printf '\nfailed or out of time: %s\n' "${failed[*]}" >&2
  exit 1
fi
