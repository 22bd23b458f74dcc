# SPDX-License-Identifier: Apache-2.0
"""The processes that train together as torchrun starts them, on one machine or on many."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed

# Its functions' default arguments are the group of processes of the time when it is imported.
# Optimizers import it: a group that was there by then would never be let go of, and its threads
# would run into the interpreter's end, with tensors, and abort it.
from torch.distributed.nn import functional as _early  # noqa: F401


class MeanOverProcesses(torch.autograd.Function):
    """A tensor's mean over the processes, forward as backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        """The mean."""
        return averaged(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The mean of the gradients: what each process lost by this one's value."""
        return averaged(grads[0])


def averaged(tensor: Tensor) -> Tensor:
    """Mean over the processes of a group that is there."""
    total = tensor.detach().clone().contiguous()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


@dataclass(frozen=True)
class Group:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those of this machine."""
    local_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """The clips of each batch that are this process's."""
        return slice(self.rank, None, self.size)

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean over the processes; gradients pass.

        Losses are means over each process's part of a batch, and gradients are averaged. That
        gives the gradients of one process that has the whole batch, as long as what is not linear
        in the clips, such as a mean rate's square, is taken of this mean.
        """
        if self.size == 1:
            return tensor
        mean: Tensor = MeanOverProcesses.apply(tensor)  # type: ignore[no-untyped-call]
        return mean

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Put the mean over the processes in place of each gradient."""
        if self.size == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = averaged(torch.cat([grad.flatten() for grad in grads]))
        for grad, part in zip(grads, torch.split(flat, [g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def share(self, value: Any) -> Any:
        """What the first process has, for all of them."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """End the work together; what follows is this process's own."""
        if self.size > 1:
            distributed.destroy_process_group()


def join() -> Group:
    """Become one of the processes that torchrun's environment tells of; without it, stay alone."""
    number = {
        name: int(os.environ.get(name, default))
        for name, default in (
            ("RANK", 0),
            ("WORLD_SIZE", 1),
            ("LOCAL_RANK", 0),
            ("LOCAL_WORLD_SIZE", 1),
        )
    }
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", number["LOCAL_RANK"]) if gpu else torch.device("cpu")
    if number["WORLD_SIZE"] > 1:
        if gpu:
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if gpu else "gloo")
    return Group(
        number["RANK"],
        number["WORLD_SIZE"],
        number["LOCAL_RANK"],
        number["LOCAL_WORLD_SIZE"],
        device,
    )
