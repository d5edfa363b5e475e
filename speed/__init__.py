"""What makes a run fast without changing its results, behind one call."""

from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from speed import padding_free, trimmed_embeddings
from speed.real_tokens import choices_are_uneven
from task_adapters.base import InputError


def check(encoder: PreTrainedModel, args: Any, training_args: TrainingArguments, optimizer: str, has_lm: bool = False) -> None:
    """Raises InputError where a flag says "on" and the model or the optimiser does not allow it: to be called before text is tokenised.

    Arguments as for `set_up`.
    """
    reasons = {
        "padding_free": padding_free.why_not_model(encoder, has_noise=bool(training_args.neftune_noise_alpha)),
        "trim_embeddings": trimmed_embeddings.why_not(encoder, optimizer, has_lm),
    }
    for flag, reason in reasons.items():
        if reason and getattr(args, flag) == "on":
            raise InputError(f"--{flag} on: {reason}.")


def set_up(
    encoder: PreTrainedModel,
    args: Any,
    training_args: TrainingArguments,
    optimizer: str,
    train_features: list,
    dev_features: list,
    tokenizer: PreTrainedTokenizerBase,
    has_lm: bool = False,
) -> None:
    """Makes `encoder`, still on the CPU and in fp32, read without padding and train only the embeddings that occur, as the flags say.

    args            the script's arguments, with `padding_free` and `trim_embeddings`; training_args: transformers' own.
    optimizer       its name (`trainer.deepspeed.optimizer_of`): some optimisers change rows that have no gradient.
    train_features  the features of each task that is trained; dev_features: those by which checkpoints are compared.
    has_lm          whether masked LM is one of the tasks: it reads all embeddings.
    Raises InputError where a flag says "on" and the model, the device or the optimiser does not allow it.
    """

    def is_uneven():
        return len(train_features) == 1 and not has_lm and choices_are_uneven(train_features[0])

    device, precisions = device_and_precisions(training_args)
    has_noise = bool(training_args.neftune_noise_alpha)
    padding_free.set_up(encoder, args.padding_free, device, precisions, is_uneven, has_noise)
    trimmed_embeddings.set_up(encoder, args.trim_embeddings, optimizer, [*train_features, *dev_features], tokenizer, has_lm)


def set_up_scoring(encoder: PreTrainedModel, args: Any, training_args: TrainingArguments, features: Dataset) -> None:
    """`set_up` for a model that is only scored: it reads without padding, as the flag says. features: of the first data that are scored.

    Raises InputError where the flag says "on" and the model or the device does not allow it.
    """
    device, precisions = device_and_precisions(training_args)
    padding_free.set_up(encoder, args.padding_free, device, precisions, lambda: choices_are_uneven(features))


def device_and_precisions(training_args: TrainingArguments) -> tuple:
    """The device that a model runs on, and the precisions in which it is trained and scored, by accelerate's names."""
    training = "bf16" if training_args.bf16 else "fp16" if training_args.fp16 else "no"
    scoring = "bf16" if training_args.bf16_full_eval else "fp16" if training_args.fp16_full_eval else training
    return training_args.device, {training, scoring}
