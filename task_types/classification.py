"""One label for one sentence or a pair of them. Example columns: text_a, text_b ("" where there is no second), label."""

import numpy as np
from transformers import AutoModelForSequenceClassification

from task_types.loss import loss_of_logits

Model = AutoModelForSequenceClassification
loss = loss_of_logits


def to_features(examples, tokenizer, task, max_length, doc_stride=None):
    """A batch of examples -> token ids, the longer text cut first; labels as positions in `task.labels`."""
    pair = (examples["text_a"], examples["text_b"]) if any(examples["text_b"]) else (examples["text_a"],)
    features = tokenizer(*pair, truncation="longest_first", max_length=max_length, return_attention_mask=False)
    features["labels"] = [task.labels.index(label) for label in examples["label"]]
    return features


def reduce_logits(logits, labels):
    """What leaves the device: all of the few logits, from which probabilities can be had."""
    return logits


def gold(examples, task):
    return examples["label"][:]


def decode(examples, features, logits, task):
    """Logits (n, labels) -> one label name per example."""
    return [task.labels[index] for index in np.asarray(logits).argmax(-1)]
