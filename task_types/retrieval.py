"""Sentences are embedded and look for their translation. Example columns: source (any language), target (English).

A sentence's vector is the mean over all its pieces, <s> and </s> among them, of one layer's hidden states (Hu et al., 2020), or the
first piece's. Distances are cosines.
"""

import numpy as np
import torch
from tqdm.auto import tqdm

POOLINGS = ("mean", "cls")


@torch.inference_mode()
def embed(texts, model, tokenizer, layer, pooling, max_length, batch_tokens, accelerator, description=""):
    """Texts -> unit vectors, (n, hidden size) float32 on the CPU. Every process embeds a part and gets the whole.

    Batches hold texts of similar length, `batch_tokens` padded tokens at most. layer: 0 is the embedding output.
    """
    encoded = tokenizer(texts, truncation=True, max_length=max_length, verbose=False)
    lengths = np.array([len(ids) for ids in encoded["input_ids"]])
    batches = batches_by_length(lengths, batch_tokens)
    vectors = torch.zeros(len(texts), model.config.hidden_size, device=accelerator.device)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    for batch in tqdm(mine, desc=description, disable=not accelerator.is_main_process, leave=False):
        inputs = tokenizer.pad({name: [values[i] for i in batch] for name, values in encoded.items()}, return_tensors="pt")
        inputs = inputs.to(accelerator.device)
        hidden = model(**inputs, output_hidden_states=True).hidden_states[layer].float()
        if pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = inputs["attention_mask"].unsqueeze(-1)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
        vectors[torch.as_tensor(batch, device=vectors.device)] = torch.nn.functional.normalize(pooled, dim=-1)
    if accelerator.num_processes > 1:
        vectors = accelerator.reduce(vectors, reduction="sum")  # each row is zero everywhere but where it was embedded
    return vectors.cpu()


def batches_by_length(lengths, batch_tokens):
    """Positions of the texts in batches of similar length, longest first (so that too little memory shows at once)."""
    batches, batch = [], []
    for index in np.argsort(-lengths, kind="stable").tolist():
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(index)
    return batches + [batch] if batch else batches


def nearest_neighbours(queries, candidates, block=4096):
    """For each query the position of the candidate with the largest inner product, the first of equals. (n,) integers."""
    return np.concatenate([(queries[i : i + block] @ candidates.T).argmax(-1).numpy() for i in range(0, len(queries), block)])


def sorted_english(examples):
    """Row numbers in the alphabetical order of the English side, equal sentences in their own order: the lines of XTREME's files."""
    return sorted(range(len(examples)), key=list(examples["target"]).__getitem__)
