"""Phase 1: train a multilingual encoder on an English intermediate task.

    accelerate launch run_intermediate.py --task mnli --output_dir out/mnli

Leaves an ordinary checkpoint with its tokenizer in --output_dir: `pipeline()` runs it, and phases 2 and 3 take it as
--model_name_or_path. Run again, a finished run is skipped and one that was cut off goes on where it stood.
"""

import time
from dataclasses import dataclass, replace
from functools import partial

from arguments import TrainArguments, is_main_process, parse, run_script, say


@dataclass
class ScriptArguments(TrainArguments):
    """Flags of this script; those of `TrainingArguments` follow."""


def main() -> dict:
    """Runs the script. -> what stands in results.json"""
    started = time.time()
    args, training_args, task, recipe = parse(ScriptArguments, "intermediate")

    from checkpoints import check_length, describe_model, load_config, load_model, load_tokenizer
    from results import finish_run, lineage_of, read_json, score_table, start_run
    from task_adapters import data_line, labels_of, load_examples
    from task_types import NEEDS_OFFSETS, TASK_TYPES, make_features
    from training import describe_run, remove_checkpoints, score, train

    if task.may_have_no_answer:
        task = replace(task, metric=partial(task.metric, threshold=args.no_answer_threshold))

    # ---- the output folder: new, cut off, or finished
    run = describe_run("intermediate", args, training_args, task)
    with training_args.main_process_first(desc="output folder"):
        finished = start_run(training_args.output_dir, run, overwrite=args.overwrite and is_main_process())
    if finished:
        say(f"{training_args.output_dir} is finished: skipped (--overwrite redoes it)")
        return read_json(f"{training_args.output_dir}/results.json")

    # ---- examples: text
    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets=task.task_type in NEEDS_OFFSETS)
    config = load_config(args.model_name_or_path)
    check_length(args.max_seq_length, config, tokenizer, args.model_name_or_path)
    data = []

    def examples_of(source, split, language, max_samples, seed=None):
        with training_args.main_process_first(desc=f"{source.name} {split} {language}"):
            examples, provenance = load_examples(source, split, language, args.data_dir, max_samples, seed)
        data.append(provenance)
        say(data_line(provenance))
        return examples

    train_examples = examples_of(task, "train", "en", args.max_train_samples, training_args.seed)
    dev_examples = examples_of(task, "dev", "en", args.max_eval_samples)

    # ---- model: the encoder of the checkpoint, a fresh head
    model_class, labels = TASK_TYPES[task.task_type].Model, labels_of(task, train_examples)
    model, labels = load_model(model_class, args.model_name_or_path, labels, training_args.seed, args.keep_head, args.freeze_embeddings)
    task = replace(task, labels=labels)

    # ---- training
    def features_of(examples):
        with training_args.main_process_first(desc="features"):
            return make_features(examples, tokenizer, task, args.max_seq_length, args.doc_stride)

    selection = None
    if training_args.eval_strategy != "no":
        selection_examples = dev_examples.select(range(min(recipe.max_selection_samples or len(dev_examples), len(dev_examples))))
        selection = selection_examples, features_of(selection_examples)
    trainer, training = train(model, tokenizer, task, training_args, features_of(train_examples), selection)
    _, dev = score(trainer, task, dev_examples, features_of(dev_examples), "en")

    # ---- results
    if is_main_process():
        results = finish_run(training_args.output_dir, {
            **run,
            "model": describe_model(args.model_name_or_path, config),
            "lineage": lineage_of(args.model_name_or_path),
            "dev": dev,
            "data": data,
            "training": training,
            "world_size": training_args.world_size,
            "per_device_train_batch_size": training_args.per_device_train_batch_size,
            "gradient_accumulation_steps": training_args.gradient_accumulation_steps,
            "seconds": round(time.time() - started, 1),
        })  # fmt: skip
        if not args.keep_checkpoints:
            remove_checkpoints(training_args.output_dir)
        say(score_table(task, {"en": dev}))
        return results


if __name__ == "__main__":
    run_script(main)
