"""Retrieval by every layer of an encoder at once: one pass over the text, then the measures of `alignment` for each layer and pooling.

The vectors of all layers do not fit into memory: 33,000 English sentences of Tatoeba at 25 layers and 2 poolings of XLM-R Large are 6.8 GB.
They lie in a temporary file of the output folder, which vanishes with the process. One layer of one language is read at a time.
"""

import os
import tempfile
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import torch
from transformers import PreTrainedConfig, PreTrainedModel

from metrics import choose_layer, layer_accuracies
from task_adapters.base import InputError
from task_types.alignment import measures, variants
from task_types.probabilities import of_neighbours
from task_types.retrieval import batches_of, check_finite, different, nearest_neighbours, other_directions, pooled_by, sorted_english

POOLINGS = ("mean", "cls")
ALL, BEST = "all", "best"


def layers_to_read(args: Any, config: PreTrainedConfig) -> list[int]:
    """The layers that a run reads, in order: that of --layer, those of --layers. Raises InputError for one that the model does not have."""
    count = config.num_hidden_layers
    asked = range(count + 1) if args.layers == [ALL] else [int(number) for number in args.layers or []]
    own = [] if args.layer == BEST else [int(args.layer)]
    wanted = sorted({*asked, *own})
    for flag, absent in (*(("layer", number) for number in own), *(("layers", number) for number in wanted)):
        if absent <= count:
            continue
        is_default = flag == "layer" and flag not in args.given_flags
        whose = " is the default, for the 24 blocks of XLM-R Large, and" if is_default else ":"
        word = "last" if flag == "layer" else ALL
        raise InputError(
            f"--{flag} {absent}{whose} {args.model_name_or_path!r} has {count} blocks:"
            f" --{flag} 0 (the output of the embeddings) to {count}, or {word}, would be right."
            f"{' XTREME takes 8 of 12 for Tatoeba and BUCC.' * (is_default and count == 12)}"
        )
    return wanted


class States:
    """Vectors of n texts at several layers and poolings, in a temporary file: (layers, poolings, n, width) float32, not scaled.

    Every process embeds a part of the texts and has all vectors in a file of its own. Raises `Collapsed` where a vector is not finite.
    """

    def __init__(self, texts, layers, model, tokenizer, max_length, batch_tokens, accelerator, folder, description=""):
        self.layers, self.device = layers, accelerator.device
        shape = len(layers), len(POOLINGS), len(texts), model.config.hidden_size
        self.file = tempfile.TemporaryFile(dir=folder)
        reserve(self.file, 4 * int(np.prod(shape)))
        self.vectors = np.memmap(self.file, np.float32, "r+", shape=shape)
        with torch.inference_mode():
            for rows, inputs in batches_of(texts, tokenizer, max_length, batch_tokens, accelerator, description):
                states = hidden_states(model, inputs, layers)
                for place, pooling in enumerate(POOLINGS):
                    pooled = torch.stack([pooled_by(pooling, state, inputs["attention_mask"]) for state in states])
                    self.vectors[:, place, rows] = pooled.cpu().numpy()
        for layer in layers:
            for place, pooling in enumerate(POOLINGS):
                if accelerator.num_processes > 1:  # each row is zero everywhere but where it was embedded
                    part = torch.from_numpy(np.array(self.vectors[layers.index(layer), place])).to(accelerator.device)
                    self.vectors[layers.index(layer), place] = accelerator.reduce(part, reduction="sum").cpu().numpy()
                check_finite(self.at(layer, pooling, slice(None)), layer, description)

    def at(self, layer: int, pooling: str, rows: Sequence[int] | None) -> torch.Tensor:
        """Vectors of one layer, (rows, width), on the device."""
        return torch.from_numpy(np.array(self.vectors[self.layers.index(layer), POOLINGS.index(pooling), rows])).to(self.device)


def reserve(file: BinaryIO, size: int) -> None:
    """Gives a file its size. A full disk is said here: a write into memory that no disk stands behind would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def hidden_states(model: PreTrainedModel, inputs: dict, layers: Sequence[int]) -> list[torch.Tensor]:
    """The hidden states of some layers of a batch, (batch, length, width) each; the last one as the model returns it."""
    outputs = model(**inputs, output_hidden_states=True)
    last = model.config.num_hidden_layers
    return [outputs.last_hidden_state if layer == last else outputs.hidden_states[layer] for layer in layers]


class LayerSearch:
    """Tatoeba at several layers. Called with a language: (gold, predicted, scores, details), as run_retrieval.py has them of one layer.

    test        {language: examples}; states_of(texts, description): their `States`.
    layer       the layer that is scored, or BEST: for each language the one that is best on all other languages.
    keep        called with (language, of_neighbours, and its values) of what is scored.
    details has "layers", a list of records (layer, pooling, vectors: what was done to them, measures), and with BEST "layer_choice".
    """

    def __init__(self, task, test, states_of, layers, layer, pooling, keep):
        self.task, self.test, self.states_of, self.layers = task, test, states_of, layers
        self.layer, self.pooling, self.keep = layer, pooling, keep
        self.english = None
        self.found = {}

    def __call__(self, language):
        if self.english is None:
            english, _ = different([text for examples in self.test.values() for text in examples["target"]])
            self.english, self.places = self.states_of(english, "en"), {text: place for place, text in enumerate(english)}
        if self.layer != BEST:
            return self.scored(language, *self.measured(language, [self.layer]), self.layer, {})
        for other in self.test if not self.found else ():
            self.found[other] = self.measured(other, self.layers)
        curves = {other: layer_accuracies(records, self.pooling) for other, (records, _) in self.found.items()}
        choice = choose_layer(language, curves)
        return self.scored(language, *self.found[language], choice["layer"], {"layer_choice": choice})

    def measured(self, language: str, layers: Sequence[int]) -> tuple[list[dict], dict]:
        """-> (records of all layers, {layer: (predicted rows, lines that foreign rows find, arrays of `of_neighbours`)} of some)"""
        examples = self.test[language]
        sources, rows = different(examples["source"])
        foreign, gold = self.states_of(sources, language), sorted_english(examples)
        english_rows = [self.places[text] for text in examples["target"]]
        records, answers = [], {}
        for layer in self.layers:
            for pooling in POOLINGS:
                pair = self.english.at(layer, pooling, english_rows), foreign.at(layer, pooling, rows)
                for name, changed in variants(*pair).items():
                    records.append({"layer": layer, "pooling": pooling, "vectors": name, **rounded(measures(*changed))})
                if pooling == self.pooling and layer in layers:
                    queries, candidates = (torch.nn.functional.normalize(vectors, dim=-1).cpu() for vectors in pair)
                    queries = queries[gold]
                    predicted = nearest_neighbours(queries, candidates).tolist()
                    backward = nearest_neighbours(candidates, queries)
                    answers[layer] = predicted, backward, of_neighbours(queries, candidates, gold, predicted)
        return records, answers

    def scored(self, language: str, records: list[dict], answers: tuple, layer: int, details: dict) -> tuple[list, list, dict, dict]:
        examples = self.test[language]
        gold = sorted_english(examples)
        predicted, backward, arrays = answers[layer]
        self.keep(language, lambda: arrays)
        scores = {**self.task.metric(gold, predicted, language), **other_directions(gold, predicted, backward), "examples": len(examples)}
        return gold, predicted, scores, {"layers": records, **details}


def rounded(values: dict[str, float]) -> dict[str, float | None]:
    """Seven digits are what single precision holds; None for what is not a number, which JSON does not have."""
    return {name: float(f"{value:.7g}") if np.isfinite(value) else None for name, value in values.items()}


def choice_lines(choices: dict[str, dict]) -> list[str]:
    """Which layer --layer best took for each language, as one line; [] where no layer was chosen."""
    if not choices:
        return []
    return ["layer, chosen on the other languages: " + ", ".join(f"{language} {choice['layer']}" for language, choice in choices.items())]


def curve_lines(by_layer: dict[str, list], pooling: str) -> list[str]:
    """The mean accuracy over languages of each layer, as one line; [] where one layer alone was read."""
    curves = [layer_accuracies(records, pooling) for records in by_layer.values()]
    if not curves:
        return []
    means = {layer: sum(curve[layer] for curve in curves) / len(curves) for layer in curves[0]}
    return [f"mean accuracy by layer ({pooling}): " + ", ".join(f"{layer} {value:.1f}" for layer, value in means.items())]
