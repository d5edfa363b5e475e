"""Sentences are embedded and look for their translation. Example columns: source (any language), target (English).

A sentence's vector is the mean over all its tokens, <s> and </s> among them, of one layer's hidden states (Hu et al., 2020), or the
first token's. Distances are cosines.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from console import Collapsed

POOLINGS = ("mean", "cls", "pooler")
TOKENIZED_AT_ONCE = 50_000  # a corpus of half a million sentences takes gigabytes as lists of tokens


@torch.inference_mode()
def embed(
    texts: Sequence[str],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    layer: int,
    pooling: str,
    max_length: int,
    batch_tokens: int,
    accelerator: Accelerator,
    description: str = "",
) -> torch.Tensor:
    """Unit vectors of texts, (n, hidden size) float32 on the CPU. Every process embeds a part of the texts and returns all vectors.

    layer         0 is the embedding output, n the output of block n; pooling: one of POOLINGS.
    max_length    tokens of a text that are read; batch_tokens: padded tokens of a batch at most (`embedding_batches`).
    description   what is embedded, such as the language, for the progress bar and for errors.
    Raises `Collapsed`, as a run that failed to learn does, where a vector is not finite.
    """
    vectors = torch.zeros(len(texts), model.config.hidden_size, device=accelerator.device)
    for rows, inputs in batches_of(texts, tokenizer, max_length, batch_tokens, accelerator, description):
        pooled = pooled_state(model, inputs, layer, pooling)
        vectors[torch.as_tensor(rows, device=vectors.device)] = torch.nn.functional.normalize(pooled, dim=-1)
    if accelerator.num_processes > 1:
        vectors = accelerator.reduce(vectors, reduction="sum")  # each row is zero everywhere but where it was embedded
    check_finite(vectors, layer, description)
    return vectors.cpu()


def batches_of(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, batch_tokens: int, accelerator: Accelerator, description: str
) -> Iterator[tuple[list[int], dict]]:
    """Yields (row numbers, inputs on the device) of every batch of texts that this process is to embed. Arguments: those of `embed`."""
    is_hidden = None if accelerator.is_main_process else True  # None: hidden unless stderr is a terminal
    progress = tqdm(total=len(texts), desc=description, disable=is_hidden, leave=False)
    for start in range(0, len(texts), TOKENIZED_AT_ONCE):
        encoded = tokenizer(texts[start : start + TOKENIZED_AT_ONCE], truncation=True, max_length=max_length, verbose=False)
        for number, batch in enumerate(embedding_batches(encoded["input_ids"], batch_tokens)):
            progress.update(len(batch))
            if number % accelerator.num_processes == accelerator.process_index:
                inputs = tokenizer.pad({name: [values[i] for i in batch] for name, values in encoded.items()}, return_tensors="pt")
                yield [start + row for row in batch], inputs.to(accelerator.device)
    progress.close()


def default_batch_tokens(device: torch.device) -> int:
    """Padded tokens of a batch: 8192 on a GPU; 1024 on a CPU, whose caches hold no more."""
    return 1024 if device.type == "cpu" else 8192


def check_finite(vectors: torch.Tensor, layer: int, description: str) -> None:
    """Raises `Collapsed` where a vector, a row of `vectors`, is not finite."""
    broken = int((~vectors.sum(1).isfinite()).sum())
    if broken:
        raise Collapsed(
            f"{description}: {broken} of {len(vectors)} vectors of layer {layer} are not finite numbers: the model's weights are broken, or"
            " its numbers overflow."
        )


def pooled_state(model: PreTrainedModel, inputs: dict, layer: int, pooling: str) -> torch.Tensor:
    """One vector for each text of a batch, (batch, width) float32."""
    if pooling == "pooler":
        return model(**inputs).pooler_output.float()
    return pooled_by(pooling, hidden_state(model, inputs, layer), inputs["attention_mask"])


def pooled_by(pooling: str, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(batch, length, width) -> (batch, width) float32: the first token's state, or the mean over the tokens of `mask`, (batch, length)."""
    hidden = hidden.float()
    if pooling == "cls":
        return hidden[:, 0]
    mask = mask.unsqueeze(-1)
    return (hidden * mask).sum(1) / mask.sum(1)


def hidden_state(model: PreTrainedModel, inputs: dict, layer: int) -> torch.Tensor:
    """Hidden state `layer` of a batch, (batch, length, width).

    The last one is returned by any model: asking for hidden states would keep those of all layers in memory.
    """
    if layer == model.config.num_hidden_layers:
        return model(**inputs).last_hidden_state
    return model(**inputs, output_hidden_states=True).hidden_states[layer]


def embedding_batches(rows: Sequence[Sequence[int]], batch_tokens: int) -> list[list[int]]:
    """Row numbers of texts in batches of at most `batch_tokens` padded tokens, at most 4% of them padding. rows: token ids of each text"""
    return batches_by_length(np.array([len(ids) for ids in rows]), batch_tokens, least_share=0.96)


def batches_by_length(lengths: np.ndarray, batch_tokens: int, least_share: float = 0.0) -> list[list[int]]:
    """Row numbers of texts in batches of similar length, longest first (so that too little memory shows at once).

    lengths  (n,) tokens of each text. A batch has at most `batch_tokens` padded tokens, of which at least `least_share` are real.
    """
    batches, batch, real = [], [], 0
    for index in np.argsort(-lengths, kind="stable").tolist():
        padded = lengths[batch[0]] * (len(batch) + 1) if batch else 0
        if padded > batch_tokens or real + lengths[index] < least_share * padded:
            batches.append(batch)
            batch, real = [], 0
        batch.append(index)
        real += lengths[index]
    return batches + [batch] if batch else batches


def different(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    """(each different text once, in the order of first appearance; for each given text its position among these)"""
    position_of = {}
    positions = [position_of.setdefault(text, len(position_of)) for text in texts]
    return list(position_of), positions


def nearest_neighbours(queries: torch.Tensor, candidates: torch.Tensor, block: int = 4096) -> np.ndarray:
    """(n,) integers: for each query the row number of the candidate with the largest inner product, the first of equal ones.

    queries, candidates  unit vectors, (n, width) and (m, width); block: queries that are compared at once.
    """
    return np.concatenate([(queries[i : i + block] @ candidates.T).argmax(-1).numpy() for i in range(0, len(queries), block)])


def sorted_english(examples: Dataset) -> list[int]:
    """Row numbers in the alphabetical order of the English sentences, equal ones in their own order: so XTREME's files are sorted."""
    return sorted(range(len(examples)), key=list(examples["target"]).__getitem__)


def other_directions(gold: Sequence[int], predicted: Sequence[int], backward: Sequence[int]) -> dict[str, float]:
    """Two accuracies that XTREME, which scores English -> foreign, does not report: {"foreign_to_english", "mutual"}, in 0..100.

    gold, predicted  for each English line the row number of its foreign sentence, n integers.
    backward         for each foreign row the English line that it finds.
    "mutual" is the share of pairs that are right both ways, so that each sentence is the other's nearest neighbour.
    """
    lines = np.arange(len(gold))
    is_found, is_found_back = np.asarray(predicted) == gold, np.asarray(backward)[gold] == lines
    return {"foreign_to_english": 100 * float(is_found_back.mean()), "mutual": 100 * float((is_found & is_found_back).mean())}
