"""A question and its answer as two vectors of one encoder, near each other. Example columns: id, query, candidate.

Vectors are means over all tokens, of length 1; the loss is a cross-entropy over the candidates of the other questions (in-batch
negatives), of cosines times a learned scale. Features are laid out as those of multiple choice, the query and its candidate in the place
of two choices, so that collator, padding-free computing and the embeddings that occur know them. `labels` is a number of the candidate's
text: two questions with one candidate are no negatives of each other.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from task_types import ranking

QUERY_LENGTH = 96  # the longest question in tokens, as in XTREME-R; candidates have --max_seq_length
SCALE = 20.0  # at the start; cosines alone are too small for a softmax


@dataclass
class Vectors(ModelOutput):
    """logits: vectors, (batch, 2, width), of query and candidate; scale: what their cosines are multiplied by."""

    logits: torch.Tensor | None = None
    scale: torch.Tensor | None = None


class AutoModelForDualEncoding:
    """In the place of an Auto class: transformers has none for two texts."""

    @staticmethod
    def for_family(family):
        """The model class of a configuration class: the family's encoder and the scale."""
        encoder = AutoModel._model_mapping[family]
        base = next(c for c in encoder.__mro__ if c is not PreTrainedModel and c.__name__.endswith("PreTrainedModel"))
        name = base.__name__.removesuffix("PreTrainedModel") + "ForDualEncoding"
        return type(name, (DualEncoding, base), {"encoder_class": encoder})


class DualEncoding:
    """Before a family's PreTrainedModel: forward (batch, 2, tokens) -> `Vectors`."""

    def __init__(self, config):
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.encoder_class(config))
        self.scale = torch.nn.Parameter(torch.tensor(SCALE))
        self.post_init()

    def _init_weights(self, module):
        super()._init_weights(module)
        if module is self:
            with torch.no_grad():
                self.scale.fill_(SCALE)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **kwargs):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        flat = {name: values.flatten(0, 1) for name, values in inputs.items() if values is not None}
        hidden = self.base_model(**flat, **kwargs).last_hidden_state
        mask = flat["attention_mask"].unsqueeze(-1)
        vectors = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        # A copy: DDP takes a parameter that is an output itself for one that is not used.
        return Vectors(logits=vectors.view(*input_ids.shape[:2], -1), scale=self.scale.clone())


Model = AutoModelForDualEncoding


def contrastive(vectors, labels, scale):
    """Each question's cross-entropy over all candidates, (n,). vectors (n, 2, width); labels (n,): equal ones are one candidate."""
    queries, candidates = vectors.float().unbind(1)
    logits = scale.float() * queries @ candidates.T
    others = torch.eye(len(labels), dtype=torch.bool, device=labels.device).logical_not()
    logits = logits.masked_fill(others & (labels[:, None] == labels), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(labels), device=labels.device), reduction="none")


def loss(outputs, labels, num_items_in_batch=None):
    """The loss over the questions of this batch alone, divided by `num_items_in_batch`: what scoring reports."""
    total = contrastive(outputs["logits"], labels, outputs["scale"]).sum()
    return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def to_features(examples, tokenizer, task, max_length, doc_stride=None):
    """A batch of examples -> token ids of query and candidate, (2, tokens), cut at the end; the number of the candidate's text."""
    plain = {"truncation": True, "return_attention_mask": False, "verbose": False}
    queries = tokenizer(examples["query"], max_length=min(QUERY_LENGTH, max_length), **plain)
    candidates = tokenizer(examples["candidate"], max_length=max_length, **plain)
    features = {name: [list(pair) for pair in zip(queries[name], candidates[name])] for name in queries}
    return {**features, "labels": [zlib.crc32(text.encode()) for text in examples["candidate"]]}


def reduce_logits(logits, labels):
    """What leaves the device: both vectors."""
    return logits


def gold(examples, task):
    """Place 0 for each question: its candidate should be the nearest."""
    return [0] * len(examples)


def decode(examples, features, logits, task):
    """Vectors -> for each question how many different candidates of the examples are nearer than its own."""
    vectors = torch.from_numpy(np.stack(logits))
    place = {}
    places = [place.setdefault(text, len(place)) for text in examples["candidate"]]
    first = [places.index(number) for number in range(len(place))] if len(place) < len(places) else list(range(len(places)))
    found = ranking.ranks(vectors[:, 0].contiguous(), vectors[first, 1], [[number] for number in places])
    return [int(rank) - 1 for rank in found[:, 0]]
