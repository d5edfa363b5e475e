"""A question and its answer as two vectors of one encoder, near each other. Example columns: id, query, candidate.

Vectors have length 1: means over all tokens, or what the model's pooler makes of the first one (`DualRecipe`); the loss is a cross-entropy
over the candidates of the other questions (in-batch negatives), of cosines times a learned scale. Features are laid out as those of
multiple choice, the query and its candidate in the place of two choices, so that collator, padding-free computing and the embeddings that
occur know them. `labels` is a number of the candidate's text: two questions with one candidate are no negatives of each other.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from console import say
from task_adapters.base import DualRecipe, InputError, Task
from task_types import ranking

QUERY_LENGTH = 96  # the longest question in tokens, as in XTREME-R; candidates have --max_seq_length


@dataclass
class Vectors(ModelOutput):
    """logits: vectors, (batch, 2, width), of query and candidate; scale: what their cosines are multiplied by."""

    logits: torch.Tensor | None = None
    scale: torch.Tensor | None = None


class AutoModelForDualEncoding:
    """In the place of an Auto class: transformers has none for two texts."""

    @staticmethod
    def for_family(family: type) -> type:
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
        self.scale = torch.nn.Parameter(torch.tensor(1.0))
        self.post_init()

    def _init_weights(self, module):
        super()._init_weights(module)
        if module is self:
            with torch.no_grad():
                self.scale.fill_(1.0)  # `set_up` has the recipe's

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, token_type_ids: torch.Tensor | None = None, **kwargs
    ) -> Vectors:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        flat = {name: values.flatten(0, 1) for name, values in inputs.items() if values is not None}
        outputs = self.base_model(**flat, **kwargs)  # type: ignore[attr-defined]  # the family's
        pooling = self.config.dual_encoder["pooling"]  # type: ignore[attr-defined]
        if pooling == "pooler":
            pooled = outputs.pooler_output
        elif pooling == "cls":
            pooled = outputs.last_hidden_state[:, 0]
        else:
            mask = flat["attention_mask"].unsqueeze(-1)
            pooled = (outputs.last_hidden_state * mask).sum(1) / mask.sum(1)
        vectors = F.normalize(pooled, dim=-1)
        # A copy: DDP takes a parameter that is an output itself for one that is not used.
        return Vectors(logits=vectors.view(*input_ids.shape[:2], -1), scale=self.scale.clone())


Model = AutoModelForDualEncoding


def set_up(model: PreTrainedModel, recipe: DualRecipe, is_trained: bool) -> None:
    """Gives a model the recipe's way to make vectors, which its configuration keeps, and the recipe's scale, unless it is trained."""
    model.config.dual_encoder = {"pooling": recipe.pooling, "lower_case": recipe.lower_case}
    if recipe.pooling == "pooler" and getattr(model.base_model, "pooler", None) is None:
        raise InputError(f"{type(model).__name__} has no pooler, which this recipe reads: choose another --recipe.")
    if not is_trained:
        with torch.no_grad():
            model.scale.fill_(recipe.scale)
    model.scale.requires_grad_(recipe.is_scale_learned)


def contrastive(vectors: torch.Tensor, labels: torch.Tensor, scale: torch.Tensor, among: int | None = None) -> torch.Tensor:
    """Each question's cross-entropy over the candidates, (n,).

    vectors (n, 2, width). labels (n,): questions with equal ones have one candidate, which is then no negative. among: only questions of
    the same group of so many, in order, are negatives of each other, equal candidates too (XTREME-R); None: all.
    """
    queries, candidates = vectors.float().unbind(1)
    logits = scale.float() * queries @ candidates.T
    rows = torch.arange(len(labels), device=labels.device)
    if among is None:
        left_out = (rows[:, None] != rows) & (labels[:, None] == labels)
    else:
        left_out = (rows // among)[:, None] != rows // among
    return F.cross_entropy(logits.masked_fill(left_out, -torch.inf), rows, reduction="none")


def loss(
    outputs: ModelOutput, labels: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """The loss over the questions of this batch alone, divided by `num_items_in_batch`: what scoring reports.

    label_smoothing  0: another value is refused where flags are read (`refusals.check_pairs`).
    """
    total = contrastive(outputs["logits"], labels, outputs["scale"]).sum()
    return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def to_features(
    examples: dict[str, list], tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int, doc_stride: int | None = None
) -> dict[str, list]:
    """A batch of examples -> token ids of query and candidate, (2, tokens), cut at the end; the number of the candidate's text."""
    plain = {"truncation": True, "return_attention_mask": False, "verbose": False}
    texts = {name: [text.lower() for text in examples[name]] if task.dual.lower_case else examples[name] for name in ("query", "candidate")}
    queries = tokenizer(texts["query"], max_length=min(QUERY_LENGTH, max_length), **plain)
    candidates = tokenizer(texts["candidate"], max_length=max_length, **plain)
    features = {name: [list(pair) for pair in zip(queries[name], candidates[name])] for name in queries}
    return {**features, "labels": [zlib.crc32(text.encode()) for text in examples["candidate"]]}


def reduce_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What leaves the device: both vectors."""
    return logits


def gold(examples: Dataset, task: Task) -> list[int]:
    """Place 0 for each question: its candidate should be the nearest."""
    return [0] * len(examples)


def decode(examples: Dataset, features: Dataset, logits: Sequence[np.ndarray], task: Task) -> list[int]:
    """Vectors -> for each question how many different candidates of the examples are nearer than its own."""
    vectors = torch.from_numpy(np.stack(logits))
    place = {}
    places = [place.setdefault(text, len(place)) for text in examples["candidate"]]
    first = [places.index(number) for number in range(len(place))] if len(place) < len(places) else list(range(len(places)))
    found = ranking.ranks(vectors[:, 0].contiguous(), vectors[first, 1], [[number] for number in places])
    return [int(rank) - 1 for rank in found[:, 0]]


def check_last_layer(args: Any, config: PreTrainedConfig) -> None:
    """Makes --layer last the number of the model's last layer. Raises InputError for another one under a protocol, which reads the last."""
    last = config.num_hidden_layers
    if args.layer == "last":
        args.layer = last
    if args.protocol and args.layer != last:
        raise InputError(f"--protocol {args.protocol} reads the last layer, {last}: leave --layer {args.layer} out.")


def check_vectors(args: Any, config: PreTrainedConfig) -> None:
    """Where retrieval reads other vectors of a dual encoder than it was trained to make: one line.

    Raises InputError for a pooler that the model has not, or that stands behind another layer than the one asked for.
    """
    trained = getattr(config, "dual_encoder", None)
    if args.pooling == "pooler" and args.layer != config.num_hidden_layers:
        raise InputError(f"--pooling pooler stands behind the last layer: --layer {config.num_hidden_layers}, not {args.layer}.")
    asked = {"pooling": args.pooling, "lower_case": bool(args.lower_case)}
    if trained and (trained, config.num_hidden_layers) != (asked, args.layer):
        flags = f"--layer {config.num_hidden_layers} --pooling {trained['pooling']}{' --lower_case' * trained['lower_case']}"
        say(f"warning: {args.model_name_or_path} was trained to make its vectors with {flags}")
