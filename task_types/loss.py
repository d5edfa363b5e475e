"""The one loss of the collection: cross-entropy averaged over everything that one optimiser step sees."""

import torch.nn.functional as F

IGNORED = -100  # torch's own marker for a position without a label


def loss_of_logits(outputs, labels, num_items_in_batch=None):
    """The loss of every model with one `logits`: (batch, classes), (batch, pieces, classes) or (batch, choices)."""
    return cross_entropy(outputs["logits"], labels, num_items_in_batch)


def cross_entropy(logits, labels, num_items_in_batch=None):
    """Cross-entropy summed over this micro-batch and divided by the labels of the whole step.

    logits              (..., classes); labels (...), `IGNORED` where there is none.
    num_items_in_batch  labels in all micro-batches of all processes, as the Trainer counts them; None: those given here.
    Dividing by the step's own count, not averaging averages, makes 1 x 32, 4 x 8 and 2 processes the same update even where
    sentences differ in length. (The heads of transformers ignore the count that they are given and return plain means.)
    """
    total = F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=IGNORED, reduction="sum")
    if num_items_in_batch is None:
        num_items_in_batch = labels.ne(IGNORED).sum().clamp(min=1)
    return total / num_items_in_batch
