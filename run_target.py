"""Phase 2: train on a target task's English data, then score every language of the task without having seen it.

    accelerate launch run_target.py --task xnli --model_name_or_path out/mnli --output_dir out/mnli/xnli
    accelerate launch run_target.py --task panx --train_languages sw --max_train_samples 100 --select_on target --output_dir out/panx_sw

Starts from the encoder with a fresh head. Leaves results.json, predictions/ and labels/ (XTREME's formats) and the model in
--output_dir. Run again, a finished run is skipped and one that was cut off goes on where it stood. A run that fails to learn ends
with exit code 3 and a line in failed_tries.json, or with --retries N is begun again with other seeds (trainer/collapse.py).
With --do_train false the given model is scored with its own head, and nothing is trained (docs/runs.md).
"""

import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from foreign_flags import refuse_unknown

if __name__ == "__main__":  # before the imports below, which take seconds
    refuse_unknown(sys.argv)

import run_intermediate
from arguments import TrainArguments, parse
from console import is_main_process, run_script, say
from run_log import Countdown
from settings import describe_run


@dataclass
class ScriptArguments(TrainArguments):
    """Flags of this script; those of `TrainingArguments` follow."""

    select_on: Literal["en", "target", "mean"] = field(
        default="en",
        metadata={"help": "Select checkpoints on dev data of English, of the other scored languages (mean), or of all (mean)."},
    )
    oracle: bool = field(default=False, metadata={"help": "Also score each language's checkpoint that is best on its own dev data."})
    g_xlt: bool = field(default=False, metadata={"help": "MLQA: also score questions in each language about contexts in the others."})
    languages: list[str] | None = field(default=None, metadata={"help": "Score these languages only; all of the task by default."})
    test_file: list[str] | None = field(
        default=None,
        metadata={"help": "Also score these files (LANG=PATH), in any language; a file replaces the task's own test set of its language."},
    )
    dev_file: list[str] | None = field(
        default=None,
        metadata={"help": "Dev files (LANG=PATH) instead of the task's own: en selects checkpoints, others for --select_on or --oracle."},
    )
    max_predict_samples: int | None = field(default=None, metadata={"help": "Score only the first N test examples of each language."})
    perturb: str | None = field(
        default=None,
        metadata={"help": "Perturb the test text, for example typos:0.05; kinds: typos, diacritics, normalisation, script_noise."},
    )
    save_probabilities: bool = field(default=True, metadata={"help": "Keep the probabilities of each language beside its predictions."})


def main() -> dict:
    """Runs the script. -> what stands in results.json"""
    started = time.time()
    args, training_args, (task,), recipe = parse(ScriptArguments, "target")

    import speed
    from report.publish import share
    from results import RunFolder, machine_of, mean_over_languages, own_data, xtreme_scores
    from task_adapters import english_task, labels_of
    from task_types import NEEDS_OFFSETS, TASK_TYPES, check_lengths, make_features
    from task_types.heads import check_label_names
    from task_types.probabilities import probabilities_path
    from task_types.span_qa import answer_ceilings, ceiling_line
    from task_types.tagging import share_of_bare_spaces
    from trainer import lora
    from trainer.checkpoints import check_length, check_precision, load_config, load_model
    from trainer.collapse import check_learned, refuse_failed, train_with_retries
    from trainer.comparison import check_comparison
    from trainer.deepspeed import optimizer_of
    from trainer.evaluation import score_as_it_is, warn_of_permuted_labels, with_own_head
    from trainer.generalised import check_generalised, load_pairs, score_pairs
    from trainer.inputs import DataReader, inputs_of
    from trainer.loop import RunTrainer, score, train, trained_weights, write_scored
    from trainer.outcome import outcome
    from trainer.selection import LanguagesTrainer, check_selection, dev_languages, for_selection, score_oracle, selected_on
    from trainer.stages import has_stage_before, lineage_and_stages, train_stage_before
    from trainer.tokenizers import load_tokenizer
    from trainer.trackers import final_scores

    check_comparison(training_args)
    check_selection(task, args, training_args)
    check_generalised(task, args)
    if training_args.do_train and has_stage_before(recipe):  # XCOPA: Social IQa before COPA
        train_stage_before(task, recipe, args, training_args, run_intermediate.main)

    # ---- the output folder: new, cut off, or finished
    settings, output_dir = describe_run("target", args, training_args, [task]), training_args.output_dir
    with training_args.main_process_first(local=False, desc="output folder"):  # all machines see the same one
        folder = RunFolder(output_dir, settings, args.model_name_or_path, args.overwrite, started)
    refuse_failed(folder, args.retries)

    # ---- examples: text, the test data of every language before hours of training
    tokenizer = load_tokenizer(args.model_name_or_path, task.task_type in NEEDS_OFFSETS, args.tokenizer_as_loaded)
    config = load_config(args.model_name_or_path)
    check_length(args.max_seq_length, config, tokenizer, args.model_name_or_path)
    check_precision(config, training_args, args.model_name_or_path)
    lora.check_adapters(args, config)
    train_task = english_task(task, args.data_revision, args.dev_file)
    if not training_args.do_train:  # before anything else is read
        task = with_own_head(task, args)
    elif args.keep_head and task.labels:
        check_label_names(config, task.labels, args.model_name_or_path, args.label_map)
    reader = DataReader(args, training_args.main_process_first)
    train_examples = reader.read_training_data(task, train_task, training_args.seed) if training_args.do_train else None
    dev_examples = reader.read(train_task, "dev", "en", args.max_eval_samples) if training_args.do_eval else None
    target_dev = {language: reader.read(task, "dev", language, args.max_eval_samples) for language in dev_languages(task, args)}
    languages = (args.languages or task.languages) if training_args.do_predict else ()
    test_examples = {language: reader.read(task, "test", language, args.max_predict_samples) for language in languages}
    pairs = load_pairs(task, test_examples, partial(reader.read, max_samples=args.max_predict_samples)) if args.g_xlt else {}

    if results := folder.agree(inputs_of(args.model_name_or_path, config, tokenizer, reader.provenances)):
        say(f"{output_dir} is finished: skipped (--overwrite redoes it)\n{outcome([task], results)}")
        share(output_dir, args.publication, is_new=False)
        return results

    # ---- features: token ids, where no example is too long for them
    model_class, labels = TASK_TYPES[task.task_type].Model, labels_of(task, train_examples)

    def features_of(examples):
        with training_args.main_process_first(desc="features"):
            return make_features(examples, tokenizer, task, args.max_seq_length, args.doc_stride)

    def probabilities_file(language, split="test"):
        return probabilities_path(output_dir, task.name, language, split) if args.save_probabilities else None

    asked = [(context, examples) for (_, context), examples in pairs.items()]
    english = [("en", examples) for examples in (train_examples, dev_examples) if examples is not None]
    for language, examples in (*english, *target_dev.items(), *test_examples.items(), *asked):
        check_lengths(examples, tokenizer, task, args.max_seq_length, language)
    ceilings = answer_ceilings(task, test_examples, features_of, args.doc_stride)
    if line := ceiling_line(task, ceilings, args.max_seq_length, args.doc_stride):
        say(line)

    # ---- model and training: the encoder of the checkpoint, a fresh head; again with another seed where they fail to learn
    def attempt():
        nonlocal task, labels
        seed, weights = training_args.seed, trained_weights(folder, training_args)  # those of an earlier start, where it was trained
        path, keep_head = weights or args.model_name_or_path, args.keep_head or weights is not None
        label_map = None if weights else args.label_map  # the trained model has the task's names
        model, labels = load_model(model_class, path, labels, seed, keep_head, args.freeze_embeddings, label_map)
        task = replace(task, labels=labels, label_piece=args.label_piece)
        if weights is None:
            lora.set_up(model, model.base_model, args, seed)
        speed.check(model.base_model, args, training_args, optimizer_of(training_args))
        selection, trainer_class = {}, RunTrainer
        if training_args.eval_strategy != "no" or args.keep_head:
            for language, examples in {"en": dev_examples, **target_dev}.items():
                first = for_selection(examples, recipe)
                selection[language] = first, features_of(first)
        if target_dev:
            trainer_class = partial(LanguagesTrainer, task=task, selection=selection, select_on=args.select_on, oracle=args.oracle)
        features = features_of(train_examples)
        dev_features = [of_language for _, of_language in selection.values()]
        speed.set_up(model.base_model, args, training_args, optimizer_of(training_args), [features], dev_features, tokenizer)
        with training_args.main_process_first(local=False, desc="begin"):
            folder.begin(seed)
        how = folder, args.collapse, trainer_class, args.keep_head, args.early_stopping_patience
        trainer, training = train(model, tokenizer, task, training_args, features, selection.get("en"), *how)
        _, dev = score(trainer, task, dev_examples, features_of(dev_examples), "en", probabilities_file("en", "dev"))
        judged = {task.name: task}, {task.name: dev_examples}, {task.name: dev}
        training["warning"] = check_learned(trainer.watch, trainer.state, seed, *judged)
        return trainer, training, dev

    if training_args.do_train:
        (trainer, training, dev), tries = train_with_retries(attempt, folder, training_args, args.retries)
        facts = {**tries, **lineage_and_stages(folder.run["lineage"], recipe), "training": training}
    else:
        first = next(part for part in (dev_examples, *test_examples.values()) if part is not None)
        how = features_of, tokenizer, args, training_args, folder, probabilities_file("en", "dev")
        trainer, training, dev = score_as_it_is(task, dev_examples, first, *how)
        facts = {"trained_steps": 0, "model_read": training}

    # ---- test, language by language
    left = {language: len(examples) for language, examples in test_examples.items() if language not in folder.scored}
    countdown = Countdown(left, len(test_examples))
    for language, examples in test_examples.items():
        if language in folder.scored:
            say(f"{task.name} {language}: scored before this run was cut off")
            continue
        predicted, scores = score(trainer, task, examples, features_of(examples), language, probabilities_file(language))
        if "warning" not in training and language == "en":  # as it is, without dev data. Elsewhere answers may be wrong in one way
            training["warning"] = warn_of_permuted_labels(task, examples, predicted, "English test")
        write_scored(output_dir, task, language, examples, predicted)
        folder.note_scored(language, scores)
        say(f"{task.name} {language}: {task.dev_metric} {scores[task.dev_metric]:.2f} ({countdown.after(language)})")
    scores = {language: folder.scored[language] for language in test_examples}
    is_tagging = task.task_type == "tagging"
    bare_spaces = {language: share_of_bare_spaces(features_of(examples)) for language, examples in test_examples.items() if is_tagging}

    matrix = score_pairs(trainer, task, pairs, scores, features_of) if args.g_xlt else None
    oracle = score_oracle(trainer, test_examples, features_of) if args.oracle else None

    # ---- results
    if is_main_process():
        results = folder.finish({
            **facts,
            **({"bare_spaces": bare_spaces} if is_tagging else {}),
            **({"answer_ceilings": ceilings} if ceilings else {}),
            "scores": scores,
            "mean": mean_over_languages(task, scores),
            **own_data(task, scores, reader.provenances),
            **xtreme_scores(task, scores, args.benchmark, is_comparable=not (args.max_predict_samples or args.perturb)),
            **({"g_xlt": matrix} if args.g_xlt else {}),
            "oracle": oracle,
            "dev": dev,
            "train_languages": sorted({part["language"] for part in reader.provenances if part["split"] == "train"}),
            "selected_on": selected_on(args, training_args, target_dev),
            "data": reader.provenances,
            **machine_of(training_args),
        }, args.keep_checkpoints, args.save_model)  # fmt: skip
        say(outcome([task], results))
        trainer.trackers.finish(training_args, trainer.state, trainer.model, final_scores(results))
        share(output_dir, args.publication, is_new=True)
        return results


if __name__ == "__main__":
    run_script(main)
