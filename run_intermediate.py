"""Phase 1: train a multilingual encoder on an English intermediate task, or on several at once.

    accelerate launch run_intermediate.py --task mnli --output_dir out/mnli
    accelerate launch run_intermediate.py --task mnli squad_v1 hellaswag --output_dir out/three
    accelerate launch run_intermediate.py --task all --output_dir out/all
    accelerate launch run_intermediate.py --task mnli --mlm_languages all --output_dir out/mnli_mlm      # masked LM beside

Leaves an ordinary checkpoint with its tokenizer in --output_dir: phases 2 and 3 take it as --model_name_or_path. Of one task it is the
model with its head, and `pipeline()` runs it; of several, or with masked LM, it is the encoder, and the heads stand in heads/<task>/
beside it (`trainer.multitask.load_task_model` puts the two together). Run again, a finished run is skipped and one that was cut off goes on
where it stood. A run that fails to learn ends with exit code 3 and a line in failed_tries.json, or with --retries N
is begun again with other seeds (trainer/collapse.py). With --do_train false a model is scored on the dev set with its own head, and nothing
is trained (docs/runs.md).
"""

import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from foreign_flags import refuse_unknown

if __name__ == "__main__":  # before the imports below, which take seconds
    refuse_unknown(sys.argv)

from arguments import TrainArguments, parse
from console import is_main_process, run_script, say
from refusals import check_masked_lm, check_sampling
from settings import describe_run
from task_adapters import TASKS


@dataclass
class ScriptArguments(TrainArguments):
    """Flags of this script; those of `TrainingArguments` follow."""

    task: list[str] = field(
        default_factory=list, metadata={"help": "Name of the task, or several names that are trained together; `all`: the paper's nine."}
    )
    no_answer_threshold: float = field(
        default=0.0, metadata={"help": "SQuAD v2: give no answer if that scores better than the best span by more than this."}
    )
    sampling: Literal["proportional", "uniform", "temperature"] = field(
        default="proportional",
        metadata={"help": "Several tasks: how the task of a step is drawn. proportional: to its size, at most --sampling_cap."},
    )
    sampling_cap: int = field(default=131072, metadata={"help": "Several tasks: larger tasks are drawn as if they had this many examples."})
    temperature: float | None = field(
        default=None, metadata={"help": "With --sampling temperature: T, where tasks are drawn in proportion to size^(1/T)."}
    )
    mlm_languages: list[str] | None = field(
        default=None, metadata={"help": "Also train masked LM, in these languages; `all`: the 40 of XTREME."}
    )
    mlm_data: list[str] | None = field(
        default=None,
        metadata={
            "help": "Texts of masked LM: `wikipedia` (streamed; the default), a folder of LANGUAGE.txt or .parquet, or LANGUAGE=FILE ..."
        },
    )
    mlm_share: float = field(
        default=0.5,
        metadata={"help": "Share of all steps that are masked LM, added to the steps of the tasks; 0: only measure its loss."},
    )
    mlm_alpha: float = field(default=0.3, metadata={"help": "Languages of masked LM are drawn in proportion to (number of texts)^alpha."})
    mlm_eval_samples: int = field(default=100, metadata={"help": "Texts per language that are held out to measure the loss of masked LM."})

    def __post_init__(self):
        check_sampling(self)
        if self.mlm_languages == ["all"]:
            self.mlm_languages = list(TASKS["panx"].languages)  # all 40
        if self.mlm_languages is not None:
            self.mlm_languages, self.mlm_data = sorted(self.mlm_languages), self.mlm_data or ["wikipedia"]
        check_masked_lm(self)


def main() -> dict:
    """Runs the script. -> what stands in results.json"""
    started = time.time()
    args, training_args, tasks, recipe = parse(ScriptArguments, "intermediate")

    import speed
    from report.publish import share
    from results import RunFolder, dev_mean, machine_of
    from task_adapters import labels_of
    from task_types import NEEDS_OFFSETS, TASK_TYPES, check_lengths, make_features
    from task_types.heads import check_label_names
    from trainer import lora
    from trainer.checkpoints import check_length, check_precision, load_config, load_model
    from trainer.collapse import check_learned, refuse_failed, train_with_retries
    from trainer.comparison import check_comparison
    from trainer.contrastive import trainer_class_for
    from trainer.deepspeed import optimizer_of
    from trainer.evaluation import score_as_it_is, with_own_head
    from trainer.inputs import DataReader, inputs_of
    from trainer.loop import score, train, trained_weights
    from trainer.masked_lm import MaskedText, open_texts
    from trainer.multitask import load_models, train_together, with_task
    from trainer.outcome import outcome
    from trainer.selection import for_selection
    from trainer.tokenizers import load_tokenizer
    from trainer.trackers import final_scores

    check_comparison(training_args)

    # ---- the output folder: new, cut off, or finished
    settings, output_dir = describe_run("intermediate", args, training_args, tasks), training_args.output_dir
    with training_args.main_process_first(local=False, desc="output folder"):  # all machines see the same one
        folder = RunFolder(output_dir, settings, args.model_name_or_path, args.overwrite, started)
    refuse_failed(folder, args.retries)

    # ---- examples: text
    together = training_args.do_train and (len(tasks) > 1 or args.mlm_languages is not None)  # masked LM is one more task
    needs_offsets = args.mlm_languages is not None or any(task.task_type in NEEDS_OFFSETS for task in tasks)
    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets, args.tokenizer_as_loaded)
    config = load_config(args.model_name_or_path)
    check_length(args.max_seq_length, config, tokenizer, args.model_name_or_path)
    check_precision(config, training_args, args.model_name_or_path)
    lora.check_adapters(args, config)
    own_heads = {}
    if not training_args.do_train:  # before anything else is read
        own_heads = {task.name: with_own_head(task, args, recipe) for task in tasks}
    elif args.keep_head and tasks[0].labels:
        check_label_names(config, tasks[0].labels, args.model_name_or_path, args.label_map)
    reader = DataReader(args, training_args.main_process_first)
    train_examples = {task.name: reader.read_training_data(task, task, training_args.seed) for task in tasks if training_args.do_train}
    dev_examples = {task.name: reader.read(task, "dev", "en", args.max_eval_samples) for task in tasks}
    tasks = {task.name: task for task in tasks}
    for examples_of in (train_examples, dev_examples):
        for name, examples in examples_of.items():
            check_lengths(examples, tokenizer, tasks[name], args.max_seq_length, "en")
    for name, examples in train_examples.items():
        tasks[name] = replace(tasks[name], labels=labels_of(tasks[name], examples), label_piece=args.label_piece)
    tasks |= own_heads
    tasks = {name: replace(task, dual=recipe) if task.task_type == "pairs" else task for name, task in tasks.items()}
    for name, task in tasks.items():
        if task.may_have_no_answer:
            tasks[name] = replace(task, metric=partial(task.metric, threshold=args.no_answer_threshold))
    masked = None
    if args.mlm_languages is not None:
        seed = training_args.seed if training_args.data_seed is None else training_args.data_seed
        texts, provenance = open_texts(args.mlm_languages, args.mlm_data, args.data_dir, args.mlm_eval_samples, seed)
        reader.provenances += provenance
        masked = MaskedText(texts, args.mlm_alpha, tokenizer, args.max_seq_length, seed)

    if results := folder.agree(inputs_of(args.model_name_or_path, config, tokenizer, reader.provenances)):
        say(f"{output_dir} is finished: skipped (--overwrite redoes it)\n{outcome([*tasks.values()], results)}")
        share(output_dir, args.publication, is_new=False)
        return results

    # ---- model and training: the encoder of the checkpoint, a fresh head for each task; again with another seed where they fail to learn
    def features_of(task, examples):
        with training_args.main_process_first(desc="features"):
            features = make_features(examples, tokenizer, task, args.max_seq_length, args.doc_stride)
        return with_task(features, task.name) if together else features

    def attempt():
        seed, weights = training_args.seed, trained_weights(folder, training_args)  # those of an earlier start, where it was trained
        path, is_trained = weights or args.model_name_or_path, weights is not None
        if together:
            model = load_models(path, tasks, seed, args.freeze_embeddings, masked is not None, is_trained)
        else:
            ((name, task),) = tasks.items()
            model_class, keep_head = TASK_TYPES[task.task_type].Model, args.keep_head or is_trained
            label_map = None if is_trained else args.label_map  # the trained model has the task's names
            model, labels = load_model(model_class, path, task.labels, seed, keep_head, args.freeze_embeddings, label_map)
            tasks[name] = task = replace(task, labels=labels)

        encoder, optimizer = model.encoder if together else model.base_model, optimizer_of(training_args)
        if not is_trained:
            lora.set_up(model, encoder, args, seed)
        speed.check(encoder, args, training_args, optimizer, masked is not None)
        selection = None
        if training_args.eval_strategy != "no" or args.keep_head:
            selection = {}
            for name, task in tasks.items():
                examples = for_selection(dev_examples[name], recipe)
                selection[name] = examples, features_of(task, examples)
        features = {name: features_of(task, train_examples[name]) for name, task in tasks.items()}
        dev_features = [of_task for _, of_task in (selection or {}).values()]
        speed.set_up(encoder, args, training_args, optimizer, [*features.values()], dev_features, tokenizer, masked is not None)
        with training_args.main_process_first(local=False, desc="begin"):
            folder.begin(seed)
        how, patience = (folder, args.collapse), args.early_stopping_patience
        if together:
            sampling, mlm = (args.sampling, args.sampling_cap, args.temperature), (masked, args.mlm_share if masked is not None else 0.0)
            trainer, training = train_together(model, tokenizer, tasks, training_args, features, sampling, selection, *how, *mlm, patience)
        else:
            dev_data, trainer_class = selection and selection[name], trainer_class_for(model, task, keep_head)
            how += (trainer_class, args.keep_head, patience)
            trainer, training = train(model, tokenizer, task, training_args, features[name], dev_data, *how)
        dev = {name: score(trainer, t, dev_examples[name], features_of(t, dev_examples[name]), "en")[1] for name, t in tasks.items()}
        training["warning"] = check_learned(trainer.watch, trainer.state, seed, tasks, dev_examples, dev)
        return trainer, training, dev

    if training_args.do_train:
        (trainer, training, dev), tries = train_with_retries(attempt, folder, training_args, args.retries)
        facts = {**tries, "training": training}
    else:
        readings, dev = {}, {}
        for name, task in tasks.items():  # one model after the other: each has its own head
            examples, begun = dev_examples[name], bool(dev)
            how = examples, examples, partial(features_of, task), tokenizer, args, training_args, None if begun else folder
            trainer, readings[name], dev[name] = score_as_it_is(task, *how)
        facts = {"trained_steps": 0, "model_read": readings if len(tasks) > 1 else readings[name]}

    # ---- results
    if is_main_process():
        results = folder.finish({
            **facts,
            **({"dev": dev, "dev_mean": dev_mean(tasks, dev)} if len(tasks) > 1 else {"dev": dev[name]}),
            "data": reader.provenances,
            **machine_of(training_args),
        }, args.keep_checkpoints, args.save_model)  # fmt: skip
        say(outcome([*tasks.values()], results))
        trainer.trackers.finish(training_args, trainer.state, trainer.model, final_scores(results))
        share(output_dir, args.publication, is_new=True)
        return results


if __name__ == "__main__":
    run_script(main)
