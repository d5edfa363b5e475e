"""Phase 2: train on a target task's English data, then score every language of the task without having seen it.

    accelerate launch run_target.py --task xnli --model_name_or_path out/mnli --output_dir out/mnli/xnli

Starts from the encoder with a fresh head. Leaves results.json, predictions/ and labels/ (XTREME's formats) and the model in
--output_dir. Run again, a finished run is skipped and one that was cut off goes on where it stood.
"""

import time
from dataclasses import dataclass, field, replace

from arguments import TrainArguments, is_main_process, parse, run_script, say


@dataclass
class ScriptArguments(TrainArguments):
    """Flags of this script; those of `TrainingArguments` follow."""

    languages: list[str] | None = field(default=None, metadata={"help": "Score these languages only; all of the task by default."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Score the first this many test examples of each language."})


def main() -> dict:
    """Runs the script. -> what stands in results.json"""
    started = time.time()
    args, training_args, (task,), recipe = parse(ScriptArguments, "target")

    import padding_free
    from checkpoints import check_length, describe_model, load_config, load_model, load_tokenizer
    from predictions import write_labels, write_predictions
    from results import finish_run, lineage_of, mean_over_languages, read_json, score_table, start_run, xtreme_score
    from task_adapters import TASKS, data_line, labels_of, load_examples
    from task_adapters.reference_scores import reference_lines
    from task_types import NEEDS_OFFSETS, TASK_TYPES, make_features
    from training import describe_run, remove_checkpoints, score, train

    # ---- the output folder: new, cut off, or finished
    run = describe_run("target", args, training_args, [task])
    with training_args.main_process_first(desc="output folder"):
        finished = start_run(training_args.output_dir, run, overwrite=args.overwrite and is_main_process())
    if finished:
        say(f"{training_args.output_dir} is finished: skipped (--overwrite redoes it)")
        return read_json(f"{training_args.output_dir}/results.json")

    # ---- examples: text, the test data of every language before hours of training
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

    train_task = TASKS[task.train_on] if task.train_on else task
    train_examples = examples_of(train_task, "train", "en", args.max_train_samples, training_args.seed)
    dev_examples = examples_of(train_task, "dev", "en", args.max_eval_samples)
    test_examples = {
        language: examples_of(task, "test", language, args.max_predict_samples) for language in args.languages or task.languages
    }

    # ---- model: the encoder of the checkpoint, a fresh head
    model_class, labels = TASK_TYPES[task.task_type].Model, labels_of(task, train_examples)
    model, labels = load_model(model_class, args.model_name_or_path, labels, training_args.seed, args.keep_head, args.freeze_embeddings)
    task = replace(task, labels=labels)
    padding_free.set_up(model.base_model, args.padding_free, training_args)

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

    # ---- test, language by language
    scores = {}
    for language, examples in test_examples.items():
        predicted, scores[language] = score(trainer, task, examples, features_of(examples), language)
        if is_main_process():
            ids = examples["id"] if "id" in examples.column_names else None
            write_predictions(f"{training_args.output_dir}/predictions", task.name, language, predicted, ids)
            write_labels(
                f"{training_args.output_dir}/labels", task.name, language, TASK_TYPES[task.task_type].gold(examples, task), examples
            )

    # ---- results
    if is_main_process():
        results = finish_run(training_args.output_dir, {
            **run,
            "model": describe_model(args.model_name_or_path, config),
            "lineage": lineage_of(args.model_name_or_path),
            "scores": scores,
            "mean": mean_over_languages(task, scores),
            "xtreme_score": xtreme_score(task, scores),
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
        say("\n".join([score_table(task, scores), *reference_lines(task.name, scores, config.num_hidden_layers)]))
        return results


if __name__ == "__main__":
    run_script(main)
