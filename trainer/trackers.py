"""The final scores of a run, language by language, for the trackers of --report_to (TensorBoard, W&B, MLflow, Trackio and others).

transformers' callbacks end a tracker's run when training ends. The test scores come later, and MLflow and Trackio would begin a second run
for them. So the end of a tracker's run waits until the scores are logged (`Trackers.finish`).
"""

import weakref

from transformers import PreTrainedModel, TrainerCallback, TrainingArguments
from transformers.integrations import INTEGRATION_TO_CALLBACK
from transformers.trainer_callback import TrainerControl, TrainerState


class Trackers(TrainerCallback):
    """The trackers among a trainer's callbacks. A process has one run at a time: new trackers end those of a failed attempt before."""

    open = None  # the trackers of this process that are not ended yet

    def __init__(self, callbacks):
        self.callbacks = [callback for callback in callbacks if isinstance(callback, tuple(INTEGRATION_TO_CALLBACK.values()))]
        self.endings = [callback.on_train_end for callback in self.callbacks]
        for callback in self.callbacks:
            callback.on_train_end = lambda *_, **__: None
        self.has_begun, self.last_call = False, None
        if Trackers.open is not None:
            Trackers.open.end()
        Trackers.open = self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: PreTrainedModel | None = None, **_
    ) -> None:
        # Weakly: the model of a failed attempt must be gone before the next one is made.
        self.has_begun, self.last_call = True, (args, state, control, weakref.ref(model))

    def finish(self, args: TrainingArguments, state: TrainerState, model: PreTrainedModel, scores: dict[str, float]) -> None:
        """Logs the scores as the last entry of each tracker's run, and ends it. For the main process alone.

        scores  as `final_scores` has them.
        """
        self.last_call = args, state, TrainerControl(), weakref.ref(model)
        for callback in self.callbacks:
            if not self.has_begun:  # the run was trained by an earlier start, or trains nothing
                callback.on_train_begin(*self.last_call[:3], model=model)
            callback.on_log(*self.last_call[:3], logs=scores, model=model)
        self.has_begun = True
        self.end()

    def end(self) -> None:
        """Ends the trackers' runs, once."""
        if self.has_begun:
            *where, model = self.last_call
            for ending in self.endings:
                ending(*where, model=model())
        self.has_begun, Trackers.open = False, None


def report_scores(training_args: TrainingArguments, model: PreTrainedModel, results: dict) -> None:
    """Has the trackers of --report_to make a run of the scores alone, for a script without a Trainer. training_args: they name it."""
    trackers = Trackers([INTEGRATION_TO_CALLBACK[name]() for name in training_args.report_to])
    trackers.finish(training_args, TrainerState(), model, final_scores(results))


def final_scores(results: dict) -> dict[str, float]:
    """{"test_f1/de": 0..100}, with "test_f1/mean" where there is a mean; of an intermediate run {"eval_accuracy/mnli": 0..100},
    and of --do_eval alone {"eval_f1/en": 0..100}.

    TensorBoard, W&B and Trackio show these names as test/f1/de and eval/accuracy/mnli; all of them group by the slash.
    """
    if results["phase"] == "intermediate":
        prefix, parts = "eval", results["dev"] if isinstance(results["task"], list) else {results["task"]: results["dev"]}
    elif not results["scores"]:  # --do_eval alone
        prefix, parts = "eval", {"en": results["dev"]}
    else:
        prefix, parts = "test", {**results["scores"], **({"mean": results["mean"]} if results["mean"] else {})}
    scores = {f"{prefix}_{name}/{part}": float(value) for part, values in parts.items() for name, value in values.items()
              if name != "examples"}  # fmt: skip
    if results.get("xtreme_score") is not None:
        scores["test_xtreme_score"] = float(results["xtreme_score"])
    return scores
