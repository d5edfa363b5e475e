"""On which languages' dev data checkpoints are compared (`--select_on`), and the best checkpoint of each language (`--oracle`).

`--select_on` compares checkpoints on English dev data, on the mean over the scored target languages, or on the mean over both.

The oracle of a language is the checkpoint with the best score on that language's own dev data, among those that the run compared.
Zero-shot transfer cannot know it. The distance between it and the chosen checkpoint is the price of choosing on other data. During
training, `<output_dir>/oracle` holds the weights of the best checkpoint so far of each language, without optimizer states: at most
(number of languages + 2) copies of the model. At the end, the test data of each language are scored with that language's checkpoint; no
test data are scored before.

`trainer/comparison.py` says how many checkpoints there are.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from datasets import Dataset
from safetensors.torch import load_model, save_model
from transformers import Trainer, TrainingArguments

from console import say
from results import flush
from task_adapters import InputError
from task_adapters.base import Recipe, Task
from trainer.loop import RunTrainer, score


def check_selection(task: Task, args: Any, training_args: TrainingArguments) -> None:
    """Raises InputError where --select_on or --oracle is given and the run compares no checkpoints, or compares them by another metric."""
    compares_languages = args.select_on != "en" or args.oracle
    metric = training_args.metric_for_best_model
    if compares_languages and training_args.load_best_model_at_end and metric.removeprefix("eval_") != task.dev_metric:
        raise InputError(f"--metric_for_best_model {metric}: --select_on and --oracle compare checkpoints by {task.dev_metric} alone.")
    if args.select_on != "en" and not training_args.load_best_model_at_end:
        raise InputError(
            f"--select_on {args.select_on} compares checkpoints: leave --load_best_model_at_end on and --eval_strategy on steps."
        )
    if args.oracle and training_args.eval_strategy == "no":
        raise InputError("--oracle compares checkpoints, and this recipe evaluates none: add --eval_strategy steps.")
    if args.oracle and training_args.deepspeed:
        raise InputError("--oracle has not been tried under DeepSpeed.")


def dev_languages(task: Task, args: Any) -> list[str]:
    """The scored languages other than English whose own dev data --select_on or --oracle needs; [] where neither is given.

    Says in one line which languages have no dev data. Raises InputError where none has, where no language but English is scored, and where
    the task's only dev data are its test data. Files of --dev_file count as the dev data of their languages.
    """
    if args.select_on == "en" and not args.oracle:
        return []
    flag = flag_of(args.select_on)
    scored = [language for language in args.languages or task.languages if language != "en"]
    if not scored:
        raise InputError(f"{flag} needs a target language, and --languages names none but English.")
    own = [language for source in task.sources if source.is_own and "dev" in source.splits for language in source.languages]
    are_scored = any(source.splits.get("dev", "") == source.splits.get("test") for source in task.sources)
    if are_scored and not own:
        raise InputError(f"{flag}: {task.name} has no dev data but those that are scored; choosing by them would be choosing by the test.")
    with_dev = [language for language in scored if language in (own if are_scored else task.languages_with("dev"))]
    if not with_dev:
        raise InputError(f"{flag}: {task.name} has no dev data in {', '.join(scored)}. Leave the flag out to choose by English dev data.")
    if with_dev != scored:
        without = [language for language in scored if language not in with_dev]
        say(f"{flag}: {task.name} has no dev data in {', '.join(without)}; the others are used.")
    return with_dev


def for_selection(examples: Dataset, recipe: Recipe) -> Dataset:
    """The examples by which checkpoints are compared: the first of the dev set, as many as the recipe says."""
    return examples.select(range(min(recipe.max_selection_samples or len(examples), len(examples))))


def selected_on(args: Any, training_args: TrainingArguments, target_dev: dict) -> dict | None:
    """The dev data that decided about the checkpoint, for results.json; None where none was chosen. target_dev: without English."""
    if not training_args.load_best_model_at_end:
        return None
    languages = {"en": ["en"], "target": [*target_dev], "mean": ["en", *target_dev]}[args.select_on]
    return {"dev": args.select_on, "languages": languages}


def flag_of(select_on: str) -> str:
    """The flag by which the user asks for several languages' dev data."""
    return f"--select_on {select_on}" if select_on != "en" else "--oracle"


def selection_score(dev_scores: dict[str, float], select_on: str) -> float:
    """The number by which checkpoints are compared: the unweighted mean of the dev scores of the languages that `select_on` names.

    dev_scores  {language: score}; select_on: "en" (English alone), "target" (all languages but English) or "mean" (all).
    """
    scores = [score for language, score in dev_scores.items() if select_on == "mean" or (language == "en") == (select_on == "en")]
    return sum(scores) / len(scores)


def best_steps(history: list[dict], languages: Iterable[str], metric: str) -> dict[str, int]:
    """{language: the step of its best evaluation, the first of equal ones}. history: the Trainer's log entries."""
    best = {}
    for language in languages:
        entries = [entry for entry in history if f"eval_{language}_{metric}" in entry]
        if entries:
            best[language] = max(entries, key=lambda entry: entry[f"eval_{language}_{metric}"])["step"]
    return best


class LanguagesTrainer(RunTrainer):
    """Our Trainer, whose evaluation scores the dev data of several languages and compares checkpoints by `selection_score`.

    selection  {language: (examples, features)}, English among them; select_on, oracle: as the flags of these names.
    """

    def __init__(self, *args, task, selection, select_on, oracle, **kwargs):
        super().__init__(*args, **kwargs)
        self.task, self.selection, self.select_on, self.oracle = task, selection, select_on, oracle
        self.asked_by = flag_of(select_on)
        self.folder = Path(self.args.output_dir) / "oracle"

    def evaluate(self, *_, **__) -> dict[str, float]:
        """Scores every language's dev data. -> {"eval_<language>_<metric>": value, "eval_<metric>": what checkpoints are compared by}"""
        metric = self.task.dev_metric
        selection = self.selection.items()
        dev_scores = {
            language: score(self, self.task, examples, features, language)[1][metric] for language, (examples, features) in selection
        }
        metrics = {f"eval_{language}_{metric}": value for language, value in dev_scores.items()}
        metrics[f"eval_{metric}"] = selection_score(dev_scores, self.select_on)
        best_before = self.best_steps()
        self.log(metrics)
        if self.oracle and self.args.should_save:
            self.keep_weights(best_before)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def best_steps(self) -> dict[str, int]:
        return best_steps(self.state.log_history, self.selection, self.task.dev_metric)

    def keep_weights(self, best_before: dict[str, int]) -> None:
        """Saves the weights of this step if they are the best of some language, and removes those that nobody needs any more.

        best_before  {language: best step before this evaluation}. The weights of these steps stay until the next evaluation: a run that is
        killed now goes on from an earlier checkpoint, and the history in that checkpoint may name them.
        """
        best = self.best_steps()
        self.folder.mkdir(exist_ok=True)
        for file in self.folder.glob("*.safetensors"):
            if int(file.stem) not in {*best_before.values(), *best.values()}:
                file.unlink()
        if self.state.global_step in best.values():
            part = self.folder / "part"
            save_model(self.model, str(part))
            flush([part])
            part.replace(self.folder / f"{self.state.global_step}.safetensors")


def score_oracle(trainer: Trainer, test_examples: dict, features_of: Callable[[Dataset], Dataset]) -> dict:
    """Scores each language's test data with the checkpoint that is best on its own dev data. The trainer's model ends with other weights.

    test_examples  {language: examples}; features_of: examples -> features.
    Returns {language: {"step", "dev": its score there, and the metrics on the test data}}.
    """
    metric, scores = trainer.task.dev_metric, {}
    trainer.accelerator.wait_for_everyone()
    steps = {language: step for language, step in trainer.best_steps().items() if language in test_examples}
    for step in sorted(set(steps.values())):
        file = trainer.folder / f"{step}.safetensors"
        if not file.is_file():
            raise InputError(f"{file} is missing: --oracle cannot score the checkpoint of step {step}. --overwrite begins anew.")
        load_model(trainer.model, file)
        for language in [language for language in steps if steps[language] == step]:
            examples = test_examples[language]
            dev = max(entry.get(f"eval_{language}_{metric}", -1.0) for entry in trainer.state.log_history)
            scores[language] = {"step": step, "dev": dev, **score(trainer, trainer.task, examples, features_of(examples), language)[1]}
    return scores


def oracle_lines(task: Task, scores: dict, oracle: dict | None) -> list[str]:
    """A table, line by line: for each language the test score of the chosen checkpoint and of the oracle; [] without an oracle.

    scores  {language: metrics of the chosen checkpoint}; oracle: what `score_oracle` returns, or None.
    """
    if not oracle:
        return []
    lines = [f"{task.dev_metric:<10}{'chosen':>10}{'oracle':>10}{'of step':>10}"]
    for language, best in oracle.items():
        lines.append(f"{language:<10}{scores[language][task.dev_metric]:>10.2f}{best[task.dev_metric]:>10.2f}{best['step']:>10}")
    means = [sum(values[language][task.dev_metric] for language in oracle) / len(oracle) for values in (scores, oracle)]
    return [*lines, f"{'mean':<10}{means[0]:>10.2f}{means[1]:>10.2f}"]
