"""The one loss of the collection: cross-entropy averaged over everything that one optimiser step sees."""

import torch
import torch.nn.functional as F

IGNORED = -100  # torch's own marker for a position without a label


def loss_of_logits(
    outputs: dict, labels: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """The loss of every model with one `logits`: (batch, classes), (batch, tokens, classes) or (batch, choices)."""
    return cross_entropy(outputs["logits"], labels, num_items_in_batch, label_smoothing)


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy summed over this micro-batch and divided by the number of labels of the whole step.

    logits              (..., classes), -inf for a class that is not admissible (padding in span QA).
    labels              (...), `IGNORED` where there is none.
    num_items_in_batch  labels in all micro-batches of all processes, as the Trainer counts them; None: those given here.
    label_smoothing     the a in: the target is 1 - a for the label, and a is spread evenly over all admissible classes, the label among
                        them, as in `F.cross_entropy` (which would multiply the -inf of other classes by a share above 0).

    Because the step's own count divides, 1 x 32, 4 x 8 and 2 processes make the same update even where sentences differ in length; a mean
    of means would not. (The heads of transformers ignore the count that they are given and return plain means.)
    """
    logits, labels = logits.float().reshape(-1, logits.shape[-1]), labels.reshape(-1)
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    if label_smoothing:
        excluded = logits == -torch.inf
        classes = (~excluded).sum(-1).clamp(min=1)
        uniform = -logits.log_softmax(-1).masked_fill(excluded, 0.0).sum(-1) / classes
        total = (1 - label_smoothing) * total + label_smoothing * uniform.masked_fill(labels == IGNORED, 0.0).sum()
    if num_items_in_batch is None:
        num_items_in_batch = labels.ne(IGNORED).sum().clamp(min=1)
    return total / num_items_in_batch
