"""Compares the three values of `--label_piece`: which tokens of a word give its tag, for one trained tagger in several languages.

    python benchmarks/label_pieces.py --model_name_or_path out/udpos --data_dir DIR --languages en de ko

The model is the output of `run_target.py --task udpos` (or panx). The benchmark computes the logits of each test set once, on one CPU
thread. It takes the tag of a word from the logits of its first token, of its first token that is more than a space, and from the mean over
all its tokens. Each cell of the table is F1 (accuracy).
"""

import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.flags import at_least  # noqa: E402
from console import run_script, say  # noqa: E402
from task_adapters.errors import OneLineParser  # noqa: E402

READINGS = ("first", "first_content", "mean")
BATCH_TOKENS = 1024  # About as many tokens as fit in the caches of a CPU.


def scores_of(task, examples, model, tokenizer, length):
    """Returns (share of words that begin with a bare space token, {reading: {metric: 0..100}})."""
    import torch

    from speed.real_tokens import lengths_of
    from task_types import make_features, tagging
    from task_types.collator import Collator, what_is_read
    from task_types.retrieval import batches_by_length

    features = {name: make_features(examples, tokenizer, replace(task, label_piece=name), length, None) for name in READINGS}
    rows, collate = what_is_read(features["mean"]), Collator(model.config.pad_token_id)
    best_tags = {name: [None] * len(rows) for name in READINGS}
    for batch in batches_by_length(lengths_of(rows), BATCH_TOKENS):
        inputs = collate([rows[index] for index in batch])
        labels = inputs.pop("labels")
        with torch.no_grad():
            logits = model(**inputs).logits
        token_tags, word_tags = logits.argmax(-1).numpy(), tagging.reduce_logits(logits, labels).numpy()
        for index, tags_by_token, tags_by_word in zip(batch, token_tags, word_tags):
            best_tags["first"][index] = best_tags["first_content"][index] = tags_by_token
            best_tags["mean"][index] = tags_by_word
    predicted = {name: tagging.decode(examples, features[name], best_tags[name], task) for name in READINGS}
    gold = tagging.gold(examples, task)
    return tagging.share_of_bare_spaces(features["first"]), {name: task.metric(gold, predicted[name], "") for name in READINGS}


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_name_or_path", required=True, help="folder of a trained tagger")
    parser.add_argument("--task", default="udpos", choices=("udpos", "panx"))
    parser.add_argument("--data_dir", help="in place of the hub, as for the scripts")
    parser.add_argument("--languages", nargs="+", default=["en"])
    parser.add_argument("--max_predict_samples", type=at_least(1), help="score the first this many test examples of each language")
    args = parser.parse_args()

    import torch

    from task_adapters import TASKS, load_examples
    from task_types import TASK_TYPES
    from trainer.checkpoints import load_model
    from trainer.tokenizers import load_tokenizer

    torch.set_num_threads(1)
    task = TASKS[args.task]
    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets=True)
    model, labels = load_model(TASK_TYPES["tagging"].Model, args.model_name_or_path, task.labels, seed=0, keep_head=True)
    task, length = replace(task, labels=labels), task.recipes["jiant"].max_seq_length
    say(f"| {args.task} | words | bare spaces | {' | '.join(READINGS)} |\n" + "|---" * 6 + "|")
    for language in args.languages:
        examples, _ = load_examples(task, "test", language, args.data_dir, args.max_predict_samples)
        share, scores = scores_of(task, examples, model.eval(), tokenizer, length)
        words = sum(map(len, examples["words"][:]))
        cells = " | ".join(f"{scores[name]['f1']:.1f} ({scores[name]['accuracy']:.1f})" for name in READINGS)
        say(f"| {language} | {words:,} | {share:.0%} | {cells} |")


if __name__ == "__main__":
    run_script(main)
