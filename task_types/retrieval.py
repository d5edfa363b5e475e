"""Sentences are embedded and look for their translation. Example columns: source (any language), target (English).

A sentence's vector is the mean over all its pieces, <s> and </s> among them, of one layer's hidden states (Hu et al., 2020), or the
first piece's. Distances are cosines.
"""

import numpy as np
import torch
from tqdm.auto import tqdm

from task_adapters.base import InputError

POOLINGS = ("mean", "cls", "pooler")
TOKENIZED_AT_ONCE = 50_000  # a corpus of half a million sentences takes gigabytes as lists of pieces


@torch.inference_mode()
def embed(texts, model, tokenizer, layer, pooling, max_length, batch_tokens, accelerator, description=""):
    """Texts -> unit vectors, (n, hidden size) float32 on the CPU. Every process embeds a part and gets the whole.

    Batches hold texts of similar length (`embedding_batches`). layer: 0 is the embedding output.
    Raises InputError where a vector is not finite.
    """
    vectors = torch.zeros(len(texts), model.config.hidden_size, device=accelerator.device)
    progress = tqdm(total=len(texts), desc=description, disable=not accelerator.is_main_process, leave=False)
    for start in range(0, len(texts), TOKENIZED_AT_ONCE):
        encoded = tokenizer(texts[start : start + TOKENIZED_AT_ONCE], truncation=True, max_length=max_length, verbose=False)
        for number, batch in enumerate(embedding_batches(encoded["input_ids"], batch_tokens)):
            progress.update(len(batch))
            if number % accelerator.num_processes != accelerator.process_index:
                continue
            inputs = tokenizer.pad({name: [values[i] for i in batch] for name, values in encoded.items()}, return_tensors="pt")
            inputs = inputs.to(accelerator.device)
            pooled = pooled_state(model, inputs, layer, pooling)
            rows = torch.as_tensor(batch, device=vectors.device) + start
            vectors[rows] = torch.nn.functional.normalize(pooled, dim=-1)
    progress.close()
    if accelerator.num_processes > 1:
        vectors = accelerator.reduce(vectors, reduction="sum")  # each row is zero everywhere but where it was embedded
    if not torch.isfinite(vectors.sum(1)).all():
        raise InputError(f"Layer {layer} of the model gives vectors that are not numbers ({description}): its weights are broken.")
    return vectors.cpu()


def pooled_state(model, inputs, layer, pooling):
    """One vector for each text of a batch, (batch, width) float32."""
    if pooling == "pooler":
        return model(**inputs).pooler_output.float()
    hidden = hidden_state(model, inputs, layer).float()
    if pooling == "cls":
        return hidden[:, 0]
    mask = inputs["attention_mask"].unsqueeze(-1)
    return (hidden * mask).sum(1) / mask.sum(1)


def hidden_state(model, inputs, layer):
    """Hidden state `layer` of a batch, (batch, length, width). What a model returns anyway is not asked for: it would keep all of them."""
    if layer == model.config.num_hidden_layers:
        return model(**inputs).last_hidden_state
    return model(**inputs, output_hidden_states=True).hidden_states[layer]


def embedding_batches(rows, batch_tokens):
    """Places of token ids in batches of `batch_tokens` padded tokens at most, 4% of them padding at most."""
    return batches_by_length(np.array([len(ids) for ids in rows]), batch_tokens, least_share=0.96)


def batches_by_length(lengths, batch_tokens, least_share=0.0):
    """Positions of the texts in batches of similar length, longest first (so that too little memory shows at once).

    A batch has at most `batch_tokens` padded tokens, of which at least `least_share` are real.
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


def different(texts):
    """-> (the different texts in the order of their first appearance, the place of each given text among them)."""
    place = {}
    places = [place.setdefault(text, len(place)) for text in texts]
    return list(place), places


def nearest_neighbours(queries, candidates, block=4096):
    """For each query the position of the candidate with the largest inner product, the first of equals. (n,) integers."""
    return np.concatenate([(queries[i : i + block] @ candidates.T).argmax(-1).numpy() for i in range(0, len(queries), block)])


def match_sentences(examples, english_vectors, english_places, foreign):
    """Each English sentence finds its nearest foreign one. -> (gold rows, found rows, the scores of `other_directions`)

    english_vectors  of all different English sentences; english_places {sentence: row}; foreign: vectors in the examples' order.
    """
    gold, targets = sorted_english(examples), list(examples["target"])
    english = english_vectors[[english_places[targets[row]] for row in gold]]
    predicted = nearest_neighbours(english, foreign).tolist()
    return gold, predicted, other_directions(gold, predicted, nearest_neighbours(foreign, english))


def sorted_english(examples):
    """Row numbers in the alphabetical order of the English side, equal sentences in their own order: the lines of XTREME's files."""
    return sorted(range(len(examples)), key=list(examples["target"]).__getitem__)


def other_directions(gold, predicted, backward):
    """What is reported beside XTREME's English -> foreign accuracy: {"foreign_to_english", "mutual"}, in 0..100.

    gold, predicted  foreign row of each English line, n integers; backward: English line found by each foreign row.
    mutual           share of pairs that are right both ways, so that each is the other's nearest neighbour.
    """
    lines = np.arange(len(gold))
    is_found, is_found_back = np.asarray(predicted) == gold, np.asarray(backward)[gold] == lines
    return {"foreign_to_english": 100 * float(is_found_back.mean()), "mutual": 100 * float((is_found & is_found_back).mean())}
