"""In-batch negatives among all questions of an optimiser step, however many processes and accumulation steps make it up.

The loss of a step is one cross-entropy over all its questions and candidates, which no micro-batch holds. As in GradCache (Gao et al.,
2021, https://aclanthology.org/2021.repl4nlp-1.31): all vectors of the step are computed without gradient and gathered from all processes;
the loss is differentiated by the vectors; each micro-batch then goes through the encoder again, with the same dropout, and its vectors
carry their part of that gradient back. One pass more, and the memory of one micro-batch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from accelerate.utils import gather
from transformers import PreTrainedModel

from task_adapters.base import Task
from task_types.dual_encoder import contrastive, set_up
from task_types.loss import IGNORED
from trainer.loop import RunTrainer

COUNTED = ("real_tokens", "is_empty")  # what `speed.real_tokens.CountingCollator` adds for the host, not for the model


def trainer_class_for(model: PreTrainedModel, task: Task, is_trained: bool) -> Callable[..., RunTrainer]:
    """The Trainer for the type of a task. A model that is a dual encoder gets what the task's recipe says of it.

    is_trained  whether the model's weights are those of a dual encoder: then it keeps the scale that it has learned.
    """
    if task.task_type != "pairs":
        return RunTrainer
    set_up(model, task.dual, is_trained)
    return partial(ContrastiveTrainer, among=task.dual.negatives_among)


class ContrastiveTrainer(RunTrainer):
    """Our Trainer, whose loss is one over the whole step. Models return `task_types.dual_encoder.Vectors`."""

    micro_batches = ()  # of the step that is being taken, in order

    def __init__(self, model, args, among=None, **options):
        self.among = among
        super().__init__(model, args, **options)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.micro_batches, self.turn = [dict(batch) for batch in batches], 0
        return batches, num_items

    def compute_loss(
        self, model: PreTrainedModel, inputs: dict, return_outputs: bool = False, num_items_in_batch: int | torch.Tensor | None = None
    ) -> Any:
        """This micro-batch's share of the step's loss: the shares add up, and so do their gradients."""
        if self.turn == 0:
            self.prepare_step(model)
        count, world = len(self.micro_batches), self.accelerator.num_processes
        own, state = self.gradients[self.turn], self.random_states[self.turn]
        self.turn += 1
        with self.replayed(state):
            outputs = model(**{name: values for name, values in inputs.items() if name != "labels"})
        # All processes together: the mean of gradients that accelerate takes over them is made a sum again.
        surrogate = world * (outputs.logits.float() * own).sum() + outputs.scale * self.scale_gradient / count
        loss = self.step_loss / count + (surrogate - surrogate.detach())
        return (loss, outputs) if return_outputs else loss

    def prepare_step(self, model: PreTrainedModel) -> None:
        """Computes all vectors of the step, its loss, and the gradient of the loss by the vectors of this process and by the scale."""
        vectors, labels, self.random_states = [], [], []
        for batch in self.micro_batches:
            batch = self._prepare_inputs({name: values for name, values in batch.items() if name not in COUNTED})
            labels.append(batch.pop("labels"))
            self.random_states.append(self.random_state())
            with torch.no_grad():
                outputs = model(**batch)
            vectors.append(outputs.logits.float())
        sizes = [len(part) for part in vectors]
        own, own_labels = torch.cat(vectors), torch.cat(labels)
        counts = gather(torch.tensor([len(own)], device=own.device)).tolist()
        longest, rank = max(counts), self.accelerator.process_index
        everyone, all_labels = (gather(self.filled(part, longest)) for part in (own, own_labels))
        rows = [row + process * longest for process, number in enumerate(counts) for row in range(number)]
        everyone, scale, all_labels = everyone[rows].requires_grad_(), outputs.scale.detach().float().requires_grad_(), all_labels[rows]
        examples = (all_labels != IGNORED).nonzero()[:, 0]  # without those of empty micro-batches
        with torch.enable_grad(), torch.autocast(own.device.type, enabled=False):
            loss = contrastive(everyone[examples], all_labels[examples], scale, self.among).mean()
            by_vectors, self.scale_gradient = torch.autograd.grad(loss, (everyone, scale))
        start = sum(counts[:rank])
        self.gradients = by_vectors[start : start + len(own)].split(sizes)
        self.step_loss = loss.detach()

    @staticmethod
    def filled(part: torch.Tensor, length: int) -> torch.Tensor:
        """A part of `length` rows, so that all processes gather as many."""
        return torch.cat([part, part.new_zeros(length - len(part), *part.shape[1:])])

    def random_state(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        device = self.args.device
        return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    @contextmanager
    def replayed(self, state: tuple[torch.Tensor, torch.Tensor | None]) -> Iterator[None]:
        """While it lasts, the random numbers of dropout are those that were drawn from this state."""
        cpu, cuda = state
        devices = [self.args.device] if cuda is not None else []
        with torch.random.fork_rng(devices=devices):
            torch.set_rng_state(cpu)
            if devices:
                torch.cuda.set_rng_state(cuda, devices[0])
            yield
