"""Training without the embeddings of pieces that do not occur: the same model comes out, of less memory and work.

XLM-R Large has 250,002 word embeddings, 46% of its weights; a task's English data hold some tens of thousands of these pieces. No gradient
ever reaches the others, yet each would have a gradient, two states of AdamW and an update, all on the GPU. Here they wait on the host while
the model trains, and are put back before it is scored. Every checkpoint holds all rows, under the usual name. (Removing them for good is
known as vocabulary trimming: Ushio et al., 2023, arXiv 2305.15020. A model that is to be scored on other languages needs them.)

What an optimiser does to a row without gradient is weight decay, the same factor for all of them. One row that does not occur is trained
along, and what became of it is done to the others. So the run is the untrimmed one but for rounding (of the norm of all gradients, whose
zeros are left out, and of the decay).
"""

import hashlib

import numpy as np
import torch
from torch.nn.functional import embedding
from transformers import TrainerCallback
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.trainer_callback import ExportableState

from console import say
from results import read_json
from task_adapters.base import InputError

# Optimisers in which no row depends on another, and one without gradient shrinks at most. (8-bit AdamW keeps embeddings in 32 bits.)
# Adafactor and LAMB look at the whole matrix; in Adam whose decay is part of the gradient each weight goes its own way.
BY_ROW = ("adamw_torch", "adamw_torch_fused", "adamw_bnb_8bit", "adamw_8bit", "sgd")


class TrimmedEmbedding(torch.nn.Embedding):
    """The rows of `whole` for `pieces`, under the ids that they have there; its state dict holds all rows.

    whole   (vocabulary, width) embeddings, on the CPU; pieces: (n,) int64; witness: the one among them that does not occur.
    Raises IndexError (on a GPU, an assertion there) for the id of any other piece.
    """

    def __init__(self, whole: torch.nn.Embedding, pieces: torch.Tensor, witness: int):
        places = torch.full((whole.num_embeddings,), -1, dtype=torch.int32)
        places[pieces] = torch.arange(len(pieces), dtype=torch.int32)
        padding = None if whole.padding_idx is None else int(places[whole.padding_idx])
        super().__init__(len(pieces), whole.embedding_dim, padding, _weight=whole.weight.detach()[pieces])
        self.weight.requires_grad_(whole.weight.requires_grad)
        self.register_buffer("places", places, persistent=False)
        self.whole, self.pieces, self.witness = whole.weight.detach(), pieces, int(places[witness])

    def forward(self, ids):
        return super().forward(ids) if self.whole is None else embedding(self.places[ids], self.weight, self.padding_idx)

    def key(self) -> str:
        """A key of which pieces these are."""
        return hashlib.sha256(self.pieces.numpy().tobytes()).hexdigest()[:16]

    def expanded(self, weight: torch.Tensor) -> torch.Tensor:
        """All rows, those of `pieces` from `weight` (n, width), in its precision, on the CPU.

        Under DeepSpeed `weight` may be in fp32 and this module in half precision, where what is trained began.
        """
        if not self.weight.requires_grad:
            return self.whole.to(weight.dtype)
        rows, before = weight.detach().cpu(), self.whole[self.pieces[self.witness]].to(self.weight.dtype).double()
        decay = float(rows[self.witness].double() @ before / (before @ before)) if before.any() else 1.0  # exactly 1 where there was none
        return (self.whole * decay).to(weight.dtype).index_copy_(0, self.pieces, rows)

    def complete(self) -> None:
        """Takes the other rows back: from here on any piece can be read, and the optimiser's states are for nothing."""
        requires_grad = self.weight.requires_grad
        self.weight = torch.nn.Parameter(self.expanded(self.weight).to(self.weight.device), requires_grad)
        self.num_embeddings = len(self.weight)
        if self.padding_idx is not None:
            self.padding_idx = int(self.pieces[self.padding_idx])
        self.whole = self.pieces = self.places = None

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.whole is not None:
            destination[prefix + "weight"] = self.expanded(self.weight)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if self.whole is not None and prefix + "weight" in state_dict:
            state_dict = {**state_dict, prefix + "weight": state_dict[prefix + "weight"][self.pieces]}
        super()._load_from_state_dict(state_dict, prefix, *args)


def set_up(encoder, wanted: str, optim: str, features: list, tokenizer, has_lm: bool = False) -> None:
    """Leaves `encoder`, still on the CPU, the embeddings of the pieces in `features`: all that it reads until `complete`.

    wanted  "on": raises InputError where it cannot; "auto": where it can; "off".
    optim   the optimiser (`deepspeed_support.optimizer_of`); has_lm: whether a head beside reads all embeddings.
    """
    if wanted == "off":
        return
    reason = against(encoder, optim, has_lm)
    if reason and wanted == "on":
        raise InputError(f"--trim_embeddings on: {reason}.")
    if reason:
        return
    whole, padding = encoder.get_input_embeddings(), encoder.config.pad_token_id
    padding = {whole.padding_idx, tokenizer.pad_token_id if padding is None else padding} - {None}
    occurs = np.any([occurring(read, whole.num_embeddings) for read in features], axis=0)
    occurs[list(padding)] = True
    absent = np.flatnonzero(~occurs).tolist()
    if not absent:
        return
    say(f"{occurs.sum():,} of {len(occurs):,} pieces occur: the embeddings of the others wait on the host")
    witness = next((piece for piece in absent if whole.weight[piece].any()), absent[0])  # a row of zeros would tell nothing
    occurs[witness] = True
    encoder.set_input_embeddings(TrimmedEmbedding(whole, torch.from_numpy(np.flatnonzero(occurs)), witness))


def against(encoder, optim: str, has_lm: bool) -> str | None:
    """What stands against it; None where nothing does."""
    whole = encoder.get_input_embeddings()
    if has_lm:
        return "masked LM reads the embeddings of all pieces"
    if is_deepspeed_zero3_enabled():
        return "under ZeRO-3 the embeddings are in slices"
    if optim not in BY_ROW:
        return f"rows may be left out under {', '.join(BY_ROW)}, not under {optim}"
    if type(whole) is not torch.nn.Embedding or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return f"the embeddings of {type(encoder).__name__} are no plain table"
    return None


def occurring(features, size: int) -> np.ndarray:
    """Which pieces occur in features, (size,) bool."""
    occurs, column = np.zeros(size, bool), features.with_format("arrow")["input_ids"][:]
    for chunk in getattr(column, "chunks", [column]):
        while hasattr(chunk.type, "value_type"):  # a list for each feature, and within it one for each choice
            chunk = chunk.flatten()
        occurs[chunk.to_numpy(zero_copy_only=False)] = True
    return occurs


def trimmed(model) -> TrimmedEmbedding | None:
    """A model's embeddings where they are trimmed."""
    return next((module for module in model.modules() if isinstance(module, TrimmedEmbedding) and module.whole is not None), None)


def complete(model) -> None:
    """Takes the other rows back, where there are some: from here on any piece can be read."""
    if found := trimmed(model):
        found.complete()


class Trimmed(TrainerCallback, ExportableState):
    """Writes into each checkpoint, in trainer_state.json, which pieces it is of."""

    def __init__(self, key):
        self.key = key

    def state(self):
        return {"args": {"key": self.key}, "attributes": {}}


def agree(trainer, checkpoint: str | None) -> None:
    """Makes a run go on as it was begun: optimisers take states of other pieces, or of another size, without a word.

    Raises InputError where other pieces occur than in `checkpoint`. One of earlier code, untrimmed, is gone on from untrimmed.
    """
    found = trimmed(trainer.model)
    here = found and found.key()
    if checkpoint:
        noted = read_json(f"{checkpoint}/trainer_state.json").get("stateful_callbacks", {}).get(Trimmed.__name__)
        written = noted and noted["args"]["key"]
        if written and written != here:
            raise InputError(f"{checkpoint} is of data in which other pieces occur: they have changed. --overwrite begins anew.")
        if found and not written:
            found.complete()
            say(f"{checkpoint} has states of all embeddings: they are trained on")
            return
    if found:
        trainer.add_callback(Trimmed(here))
