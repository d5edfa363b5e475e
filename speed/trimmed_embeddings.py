"""Training without the embeddings of tokens that do not occur: the resulting model is the same, with less memory and less work.

XLM-R Large has 250,002 word embeddings, 46% of its weights. The English data of a task hold some tens of thousands of these tokens. The
other rows never get a gradient, yet each of them would take a gradient, two states of AdamW and an update on the GPU. Here they stay on
the host while the model is trained, and are put back before it is scored. Every checkpoint holds all rows, under the usual name.
(Removing rows for good is known as vocabulary trimming: Ushio et al., 2023, arXiv 2305.15020. A model that is scored on other languages
needs them.)

What an optimiser does to a row without gradient is weight decay, by the same factor for all such rows. One row that does not occur is
therefore trained too, and afterwards its factor is applied to the others. So the run differs from an untrimmed one by rounding alone (in
the norm of all gradients, which leaves out zeros, and in the decay).
"""

import hashlib

import numpy as np
import torch
from datasets import Dataset
from torch.nn.functional import embedding
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.trainer_callback import ExportableState

from console import say
from results import read_json
from task_adapters.base import InputError

# Optimisers that treat each row alone and only let a row without gradient shrink. (8-bit AdamW keeps embeddings in 32 bits.)
# Not among them: Adafactor and LAMB use statistics of the whole matrix; Adam with weight decay in the gradient moves each weight by itself.
ROW_WISE = ("adamw_torch", "adamw_torch_fused", "adamw_bnb_8bit", "adamw_8bit", "sgd")


class TrimmedEmbedding(torch.nn.Embedding):
    """Some rows of an embedding table, looked up by the token ids of the whole table; its state dict holds all rows.

    whole   (vocabulary, width) embeddings, on the CPU.
    pieces  (n,) int64: the ids of the tokens whose rows are trained.
    unused  the id among them that does not occur in the data: it shows the weight decay of the rows that are left out.
    Raises IndexError (on a GPU, a device-side assertion) for the id of any other token.
    """

    def __init__(self, whole: torch.nn.Embedding, pieces: torch.Tensor, unused: int):
        rows = torch.full((whole.num_embeddings,), -1, dtype=torch.int32)  # of each token id; -1 where it has none
        rows[pieces] = torch.arange(len(pieces), dtype=torch.int32)
        padding = None if whole.padding_idx is None else int(rows[whole.padding_idx])
        super().__init__(len(pieces), whole.embedding_dim, padding, _weight=whole.weight.detach()[pieces])
        self.weight.requires_grad_(whole.weight.requires_grad)
        self.register_buffer("rows", rows, persistent=False)
        self.whole, self.pieces, self.unused_row = whole.weight.detach(), pieces, int(rows[unused])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(ids) if self.whole is None else embedding(self.rows[ids], self.weight, self.padding_idx)  # type: ignore[index]

    def key(self) -> str:
        """A key of the token ids whose rows are trained."""
        return hashlib.sha256(self.pieces.numpy().tobytes()).hexdigest()[:16]

    def expanded(self, weight: torch.Tensor) -> torch.Tensor:
        """All rows of the table, on the CPU, in the precision of `weight`: trained rows from `weight` (n, width), others with their decay.

        Under DeepSpeed `weight` may be the fp32 copy while this module is in half precision, which is where its training started from.
        """
        if not self.weight.requires_grad:
            return self.whole.to(weight.dtype)
        trained, start = weight.detach().cpu(), self.whole[self.pieces[self.unused_row]].to(self.weight.dtype).double()
        decay = float(trained[self.unused_row].double() @ start / (start @ start)) if start.any() else 1.0  # exactly 1 without decay
        return (self.whole * decay).to(weight.dtype).index_copy_(0, self.pieces, trained)

    def complete(self) -> None:
        """Puts the other rows back: from now on any token can be read. The optimiser's states fit no longer."""
        requires_grad = self.weight.requires_grad
        self.weight = torch.nn.Parameter(self.expanded(self.weight).to(self.weight.device), requires_grad)
        self.num_embeddings = len(self.weight)
        if self.padding_idx is not None:
            self.padding_idx = int(self.pieces[self.padding_idx])
        self.whole = self.pieces = self.rows = None

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.whole is not None:
            destination[prefix + "weight"] = self.expanded(self.weight)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if self.whole is not None and prefix + "weight" in state_dict:
            state_dict = {**state_dict, prefix + "weight": state_dict[prefix + "weight"][self.pieces]}
        super()._load_from_state_dict(state_dict, prefix, *args)


def set_up(
    encoder: PreTrainedModel, wanted: str, optim: str, features: list, tokenizer: PreTrainedTokenizerBase, has_lm: bool = False
) -> None:
    """Leaves `encoder`, still on the CPU, only the embeddings of tokens in `features`, which is all that it may read until `complete`.

    wanted  "on": raises InputError where it is impossible. "auto": where it is possible. "off".
    optim   the optimiser's name (`trainer.deepspeed.optimizer_of`); has_lm: whether a masked-LM head reads all embeddings.
    """
    if wanted == "off":
        return
    reason = why_not(encoder, optim, has_lm)
    if reason and wanted == "on":
        raise InputError(f"--trim_embeddings on: {reason}.")
    if reason:
        return
    whole, padding = encoder.get_input_embeddings(), encoder.config.pad_token_id
    padding = {whole.padding_idx, tokenizer.pad_token_id if padding is None else padding} - {None}
    occurs = np.any([occurring(of_task, whole.num_embeddings) for of_task in features], axis=0)
    occurs[list(padding)] = True
    absent = np.flatnonzero(~occurs).tolist()
    if not absent:
        return
    say(f"{occurs.sum():,} of {len(occurs):,} tokens occur: the embeddings of the others stay in host memory while training")
    unused = next((token for token in absent if whole.weight[token].any()), absent[0])  # a row of zeros would show no decay
    occurs[unused] = True
    encoder.set_input_embeddings(TrimmedEmbedding(whole, torch.from_numpy(np.flatnonzero(occurs)), unused))


def why_not(encoder: PreTrainedModel, optim: str, has_lm: bool) -> str | None:
    """Why embeddings cannot be left out; None where they can."""
    whole = encoder.get_input_embeddings()
    if has_lm:
        return "masked LM reads the embeddings of all tokens"
    if is_deepspeed_zero3_enabled():
        return "under ZeRO-3 the embeddings are in slices"
    if optim not in ROW_WISE:
        return f"rows may be left out under {', '.join(ROW_WISE)}, not under {optim}"
    if type(whole) is not torch.nn.Embedding or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return f"the embeddings of {type(encoder).__name__} are no plain table"
    return None


def occurring(features: Dataset, size: int) -> np.ndarray:
    """Whether each token id below `size` occurs in features, (size,) bool."""
    occurs, column = np.zeros(size, bool), features.with_format("arrow")["input_ids"][:]
    for chunk in getattr(column, "chunks", [column]):
        while hasattr(chunk.type, "value_type"):  # a list for each feature, and within it one for each choice
            chunk = chunk.flatten()
        occurs[chunk.to_numpy(zero_copy_only=False)] = True
    return occurs


def trimmed(model: torch.nn.Module) -> TrimmedEmbedding | None:
    """A model's embeddings where rows of them are left out; None where they are whole."""
    return next((module for module in model.modules() if isinstance(module, TrimmedEmbedding) and module.whole is not None), None)


def complete(model: torch.nn.Module) -> None:
    """Puts the rows back that were left out, if any: from now on any token can be read."""
    embeddings = trimmed(model)
    if embeddings:
        embeddings.complete()


class Trimmed(TrainerCallback, ExportableState):
    """Writes into trainer_state.json of each checkpoint, by `TrimmedEmbedding.key`, which rows are trained."""

    def __init__(self, key):
        self.key = key

    def state(self) -> dict:
        return {"args": {"key": self.key}, "attributes": {}}


def agree(trainer: Trainer, checkpoint: str | None) -> None:
    """Makes a resumed run train the same rows as before: an optimiser would load states of other rows, or of another size, in silence.

    A checkpoint that was written untrimmed is resumed untrimmed. Raises InputError where other tokens occur now than in `checkpoint`.
    """
    embeddings = trimmed(trainer.model)
    key = embeddings and embeddings.key()
    if checkpoint:
        record = read_json(f"{checkpoint}/trainer_state.json").get("stateful_callbacks", {}).get(Trimmed.__name__)
        written_key = record and record["args"]["key"]
        if written_key and written_key != key:
            raise InputError(f"{checkpoint} is of data in which other tokens occur: they have changed. --overwrite begins anew.")
        if embeddings and not written_key:
            embeddings.complete()
            say(f"{checkpoint} has states of all embeddings: they are trained on")
            return
    if embeddings:
        trainer.add_callback(Trimmed(key))
