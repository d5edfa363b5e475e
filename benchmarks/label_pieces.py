"""Which piece says a word's tag: one trained tagger, read in the three ways of `--label_piece`, in several languages.

    python benchmarks/label_pieces.py --model_name_or_path out/udpos --data_dir DIR --languages en de ko

The model is a run of `run_target.py --task udpos` (or panx). It is run once over each test set on one CPU thread, and its logits
are read at the first piece of each word, at the first that is more than a space, and as their mean over the word's pieces.
Cells: F1 (accuracy).
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.flags import at_least  # noqa: E402
from console import run_script, say  # noqa: E402

READINGS = ("first", "first_content", "mean")
BATCH_TOKENS = 1024  # what the caches of a CPU hold


def scores_of(task, examples, model, tokenizer, length):
    """-> (share of bare spaces, {reading: {metric: 0..100}})"""
    import torch

    from speed.real_tokens import lengths_of
    from task_types import make_features, tagging
    from task_types.collator import Collator, what_is_read
    from task_types.retrieval import batches_by_length

    features = {name: make_features(examples, tokenizer, replace(task, label_piece=name), length, None) for name in READINGS}
    rows, collate = what_is_read(features["mean"]), Collator(model.config.pad_token_id)
    best = {name: [None] * len(rows) for name in READINGS}
    for batch in batches_by_length(lengths_of(rows), BATCH_TOKENS):
        inputs = collate([rows[place] for place in batch])
        labels = inputs.pop("labels")
        with torch.no_grad():
            logits = model(**inputs).logits
        pieces, means = logits.argmax(-1).numpy(), tagging.reduce_logits(logits, labels).numpy()
        for place, of_pieces, of_words in zip(batch, pieces, means):
            best["first"][place] = best["first_content"][place] = of_pieces
            best["mean"][place] = of_words
    predicted = {name: tagging.decode(examples, features[name], best[name], task) for name in READINGS}
    gold = tagging.gold(examples, task)
    return tagging.share_of_bare_spaces(features["first"]), {name: task.metric(gold, predicted[name], "") for name in READINGS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
