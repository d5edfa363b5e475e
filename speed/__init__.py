"""What makes a run fast without changing what comes out of it, behind one call."""

from speed import padding_free, trimmed_embeddings
from speed.real_tokens import choices_are_uneven


def set_up(encoder, args, training_args, optimizer: str, train_features: list, dev_features: list, tokenizer, has_lm: bool = False) -> None:
    """Makes `encoder`, still on the CPU and in fp32, read real tokens only and train only the embeddings that occur, as the flags say.

    optimizer       its name (`trainer.deepspeed.optimizer_of`): not every one leaves rows without a gradient alone.
    train_features  the features of each task that is trained; dev_features: those by which checkpoints are compared.
    has_lm          masked LM is trained beside: it reads all embeddings.
    Raises InputError where a flag says "on" and the model, the device or the optimiser cannot.
    """

    def is_uneven():
        return len(train_features) == 1 and not has_lm and choices_are_uneven(train_features[0])

    padding_free.set_up(encoder, args.padding_free, *device_and_precisions(training_args), is_uneven)
    trimmed_embeddings.set_up(encoder, args.trim_embeddings, optimizer, [*train_features, *dev_features], tokenizer, has_lm)


def device_and_precisions(training_args) -> tuple:
    """Where a model runs, and in which precisions it trains and scores, by accelerate's names: for `padding_free.set_up`."""
    training = "bf16" if training_args.bf16 else "fp16" if training_args.fp16 else "no"
    scoring = "bf16" if training_args.bf16_full_eval else "fp16" if training_args.fp16_full_eval else training
    return training_args.device, {training, scoring}
