"""Phase 2: train on a target task's English data, then score every language of the task without having seen it.

    accelerate launch run_target.py --task xnli --model_name_or_path out/mnli --output_dir out/mnli/xnli
    accelerate launch run_target.py --task panx --train_languages sw --max_train_samples 100 --select_on target --output_dir out/panx_sw

Starts from the encoder with a fresh head. Leaves results.json, predictions/ and labels/ (XTREME's formats) and the model in
--output_dir. Run again, a finished run is skipped and one that was cut off goes on where it stood. A run that fails to learn ends
with exit code 3 and a line in failed_tries.json, or with --retries N is begun again with other seeds (trainer/collapse.py).
"""

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from arguments import TrainArguments, parse
from console import is_main_process, run_script, say


@dataclass
class ScriptArguments(TrainArguments):
    """Flags of this script; those of `TrainingArguments` follow."""

    select_on: Literal["en", "target", "mean"] = field(
        default="en",
        metadata={
            "help": "Compare checkpoints on English dev data, on the mean over the other scored languages', or on the mean over both."
        },
    )
    oracle: bool = field(
        default=False, metadata={"help": "Score beside it, for each language, the checkpoint that is best on its own dev data."}
    )
    languages: list[str] | None = field(default=None, metadata={"help": "Score these languages only; all of the task by default."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Score the first this many test examples of each language."})
    save_probabilities: bool = field(default=True, metadata={"help": "Keep the probabilities of each language beside its predictions."})


def main() -> dict:
    """Runs the script. -> what stands in results.json"""
    started = time.time()
    args, training_args, (task,), recipe = parse(ScriptArguments, "target")

    import speed
    from predictions import write_labels, write_predictions
    from results import (
        device_name,
        finish_run,
        lineage_of,
        mean_over_languages,
        note_time,
        read_json,
        remove_checkpoints,
        score_table,
        start_run,
        xtreme_score,
    )
    from speed.real_tokens import RealTokensTrainer
    from task_adapters import TASKS, data_line, labels_of, load_examples, load_training_data
    from task_adapters.reference_scores import reference_lines
    from task_types import NEEDS_OFFSETS, TASK_TYPES, make_features
    from task_types.probabilities import probabilities_path
    from trainer.checkpoints import check_length, check_precision, describe_model, load_config, load_model, load_tokenizer
    from trainer.collapse import check_learned, refuse_failed, train_with_retries
    from trainer.deepspeed import optimizer_of
    from trainer.loop import describe_run, score, train
    from trainer.selection import LanguagesTrainer, check_selection, dev_languages, oracle_lines, score_oracle

    check_selection(task, args, training_args)

    # ---- the output folder: new, cut off, or finished
    run = describe_run("target", args, training_args, [task])
    with training_args.main_process_first(local=False, desc="output folder"):  # all machines see the same one
        finished = start_run(training_args.output_dir, run, args.overwrite and is_main_process(), started)
    if finished:
        say(f"{training_args.output_dir} is finished: skipped (--overwrite redoes it)")
        return read_json(f"{training_args.output_dir}/results.json")
    refuse_failed(training_args.output_dir, args.retries)

    # ---- examples: text, the test data of every language before hours of training
    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets=task.task_type in NEEDS_OFFSETS)
    config = load_config(args.model_name_or_path)
    check_length(args.max_seq_length, config, tokenizer, args.model_name_or_path)
    check_precision(config, training_args, args.model_name_or_path)
    data = []

    def examples_of(source, split, language, max_samples):
        with training_args.main_process_first(desc=f"{source.name} {split} {language}"):
            examples, provenance = load_examples(source, split, language, args.data_dir, max_samples)
        data.append(provenance)
        say(data_line(provenance))
        return examples

    train_task = TASKS[task.train_on] if task.train_on else task
    with training_args.main_process_first(desc=f"{task.name} training data"):
        train_examples, provenances = load_training_data(
            task, train_task, args.train_languages, args.train_file, args.data_dir, args.max_train_samples, training_args.seed
        )
    data += provenances
    say("\n".join(map(data_line, provenances)))
    dev_examples = examples_of(train_task, "dev", "en", args.max_eval_samples)
    target_dev = {language: examples_of(task, "dev", language, args.max_eval_samples) for language in dev_languages(task, args)}
    test_examples = {
        language: examples_of(task, "test", language, args.max_predict_samples) for language in args.languages or task.languages
    }

    # ---- model and training: the encoder of the checkpoint, a fresh head; again with another seed where they fail to learn
    model_class, labels = TASK_TYPES[task.task_type].Model, labels_of(task, train_examples)

    def features_of(examples):
        with training_args.main_process_first(desc="features"):
            return make_features(examples, tokenizer, task, args.max_seq_length, args.doc_stride)

    def probabilities_file(language, split="test"):
        return probabilities_path(training_args.output_dir, task.name, language, split) if args.save_probabilities else None

    def attempt():
        nonlocal task, labels
        model, labels = load_model(model_class, args.model_name_or_path, labels, training_args.seed, args.keep_head, args.freeze_embeddings)
        task = replace(task, labels=labels)
        selection, trainer_class = {}, RealTokensTrainer
        if training_args.eval_strategy != "no":
            for language, examples in {"en": dev_examples, **target_dev}.items():
                first = examples.select(range(min(recipe.max_selection_samples or len(examples), len(examples))))
                selection[language] = first, features_of(first)
        if target_dev:
            trainer_class = partial(LanguagesTrainer, task=task, selection=selection, select_on=args.select_on, oracle=args.oracle)
        features = features_of(train_examples)
        dev_features = [of_language for _, of_language in selection.values()]
        speed.set_up(model.base_model, args, training_args, optimizer_of(training_args), [features], dev_features, tokenizer)
        trainer, training = train(model, tokenizer, task, training_args, features, selection.get("en"), trainer_class)
        _, dev = score(trainer, task, dev_examples, features_of(dev_examples), "en", probabilities_file("en", "dev"))
        training["warning"] = check_learned(trainer, {task.name: task}, {task.name: dev_examples}, {task.name: dev})
        return trainer, training, dev

    (trainer, training, dev), tries = train_with_retries(attempt, training_args, args.retries)

    # ---- test, language by language
    scores = {}
    for language, examples in test_examples.items():
        predicted, scores[language] = score(trainer, task, examples, features_of(examples), language, probabilities_file(language))
        if is_main_process():
            ids = examples["id"] if "id" in examples.column_names else None
            write_predictions(f"{training_args.output_dir}/predictions", task.name, language, predicted, ids)
            write_labels(
                f"{training_args.output_dir}/labels", task.name, language, TASK_TYPES[task.task_type].gold(examples, task), examples
            )
            note_time(training_args.output_dir)

    deciding = {"en": ["en"], "target": [*target_dev], "mean": ["en", *target_dev]}[args.select_on]
    oracle = score_oracle(trainer, test_examples, features_of) if args.oracle else None

    # ---- results
    if is_main_process():
        results = finish_run(training_args.output_dir, {
            **run,
            **tries,
            "model": describe_model(args.model_name_or_path, config),
            "lineage": lineage_of(args.model_name_or_path),
            "scores": scores,
            "mean": mean_over_languages(task, scores),
            "xtreme_score": None if args.max_predict_samples else xtreme_score(task, scores),
            "oracle": oracle,
            "dev": dev,
            "train_languages": sorted({provenance["language"] for provenance in provenances}),
            "selected_on": {"dev": args.select_on, "languages": deciding} if training_args.load_best_model_at_end else None,
            "data": data,
            "training": training,
            "device": device_name(training_args.device),
            "world_size": training_args.world_size,
            "per_device_train_batch_size": training_args.per_device_train_batch_size,
            "gradient_accumulation_steps": training_args.gradient_accumulation_steps,
        })  # fmt: skip
        if not args.keep_checkpoints:
            remove_checkpoints(training_args.output_dir)
        beside = [*oracle_lines(task, scores, oracle), *reference_lines(task.name, scores, config.num_hidden_layers)]
        say("\n".join([score_table(task, scores), *beside]))
        return results


if __name__ == "__main__":
    run_script(main)
