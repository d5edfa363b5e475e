"""By which dev data checkpoints are compared: English, the target languages', or both (`--select_on`); and the oracle beside (`--oracle`).

The oracle of a language is the checkpoint with the best score on that language's own dev data, among those that the run compared. Zero-shot
transfer cannot know it; how far the chosen checkpoint stays behind it is what choosing by other data costs. While the run goes on, the
weights of every language's best checkpoint so far are kept in <output_dir>/oracle (at most one copy for each language and two more, without
optimiser state); at the end each language's test data are scored with its own. Test data are never looked at before.
"""

from pathlib import Path

from safetensors.torch import load_model, save_model

from console import say
from task_adapters import InputError
from trainer.loop import RunTrainer, score


def check_selection(task, args, training_args) -> None:
    """Flags that ask for comparing checkpoints where none are compared, or by a number that nobody computes for several languages."""
    several = args.select_on != "en" or args.oracle
    by = training_args.metric_for_best_model
    if several and training_args.load_best_model_at_end and by.removeprefix("eval_") != task.dev_metric:
        raise InputError(f"--metric_for_best_model {by}: --select_on and --oracle compare checkpoints by {task.dev_metric} alone.")
    if args.select_on != "en" and not training_args.load_best_model_at_end:
        raise InputError(
            f"--select_on {args.select_on} compares checkpoints: leave --load_best_model_at_end on and --eval_strategy on steps."
        )
    if args.oracle and training_args.eval_strategy == "no":
        raise InputError("--oracle compares checkpoints, and this recipe evaluates none: add --eval_strategy steps.")
    if args.oracle and training_args.deepspeed:
        raise InputError("--oracle has not been tried under DeepSpeed.")


def dev_languages(task, args) -> list[str]:
    """The scored languages, without English, whose own dev data are asked for. One line where some have none, InputError where all."""
    if args.select_on == "en" and not args.oracle:
        return []
    flag = f"--select_on {args.select_on}" if args.select_on != "en" else "--oracle"
    scored = [language for language in args.languages or task.languages if language != "en"]
    if not scored:
        raise InputError(f"{flag} needs a target language, and --languages names none but English.")
    if any(source.splits.get("dev", "") == source.splits.get("test") for source in task.sources):
        raise InputError(f"{flag}: {task.name} has no dev data but those that are scored; choosing by them would be choosing by the test.")
    found = [language for language in scored if language in task.languages_with("dev")]
    if not found:
        raise InputError(f"{flag}: {task.name} has no dev data in {', '.join(scored)}. Leave the flag out to choose by English dev data.")
    if found != scored:
        say(f"{flag}: {task.name} has no dev data in {', '.join(lang for lang in scored if lang not in found)}; the others are used.")
    return found


def selection_score(dev: dict[str, float], select_on: str) -> float:
    """One number of the dev scores of all languages: English's, the unweighted mean of the others, or that of all."""
    kept = [value for language, value in dev.items() if select_on == "mean" or (language == "en") == (select_on == "en")]
    return sum(kept) / len(kept)


def best_steps(history: list[dict], languages, metric: str) -> dict[str, int]:
    """For each language the step of its best evaluation, the first of equal ones. history: the Trainer's log entries."""
    best = {}
    for language in languages:
        entries = [entry for entry in history if f"eval_{language}_{metric}" in entry]
        if entries:
            best[language] = max(entries, key=lambda entry: entry[f"eval_{language}_{metric}"])["step"]
    return best


class LanguagesTrainer(RunTrainer):
    """Our Trainer, whose evaluation scores several languages' dev data and compares checkpoints by one number of them.

    selection  {language: (examples, features)}, English among them.
    """

    def __init__(self, *args, task, selection, select_on, oracle, **kwargs):
        super().__init__(*args, **kwargs)
        self.task, self.selection, self.select_on, self.oracle = task, selection, select_on, oracle
        self.folder = Path(self.args.output_dir) / "oracle"

    def evaluate(self, *_, **__):
        metric = self.task.dev_metric
        dev = {language: score(self, self.task, *data, language)[1][metric] for language, data in self.selection.items()}
        found = {f"eval_{language}_{metric}": value for language, value in dev.items()}
        found[f"eval_{metric}"] = selection_score(dev, self.select_on)
        before = self.best_steps()
        self.log(found)
        if self.oracle and self.args.should_save:
            self.keep_weights(before)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def best_steps(self):
        return best_steps(self.state.log_history, self.selection, self.task.dev_metric)

    def keep_weights(self, before):
        """Keeps this step's weights if they are some language's best. Those that were so before this evaluation stay until the next:

        a run that is cut off here goes on from an earlier checkpoint, whose history may name them.
        """
        after = self.best_steps()
        self.folder.mkdir(exist_ok=True)
        for file in self.folder.glob("*.safetensors"):
            if int(file.stem) not in {*before.values(), *after.values()}:
                file.unlink()
        if self.state.global_step in after.values():
            part = self.folder / "part"
            save_model(self.model, str(part))
            part.replace(self.folder / f"{self.state.global_step}.safetensors")


def score_oracle(trainer, test_examples, features_of) -> dict:
    """Scores each language's test data with the weights that its own dev data chose; the trainer's model is another one afterwards.

    test_examples: {language: examples}. Returns {language: {"step", "dev", and the metrics of the test}}.
    """
    metric, found = trainer.task.dev_metric, {}
    trainer.accelerator.wait_for_everyone()
    chosen = {language: step for language, step in trainer.best_steps().items() if language in test_examples}
    for step in sorted(set(chosen.values())):
        load_model(trainer.model, trainer.folder / f"{step}.safetensors")
        for language in [language for language in chosen if chosen[language] == step]:
            examples = test_examples[language]
            dev = max(entry.get(f"eval_{language}_{metric}", -1.0) for entry in trainer.state.log_history)
            found[language] = {"step": step, "dev": dev, **score(trainer, trainer.task, examples, features_of(examples), language)[1]}
    return found


def oracle_lines(task, scores, oracle) -> list[str]:
    """The oracle's scores beside those of the chosen checkpoint, as lines that line up; [] where there is none."""
    if not oracle:
        return []
    lines = [f"{task.dev_metric:<10}{'chosen':>10}{'oracle':>10}{'of step':>10}"]
    for language, found in oracle.items():
        lines.append(f"{language:<10}{scores[language][task.dev_metric]:>10.2f}{found[task.dev_metric]:>10.2f}{found['step']:>10}")
    means = [sum(values[language][task.dev_metric] for language in oracle) / len(oracle) for values in (scores, oracle)]
    return [*lines, f"{'mean':<10}{means[0]:>10.2f}{means[1]:>10.2f}"]
