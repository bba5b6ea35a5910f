"""Processes that train one SAE together: what each takes, and what it must know of the others.

Started by torchrun, every process takes its share of each batch, and torch's
DistributedDataParallel averages the gradients. What a loss says of a batch as a whole (energies,
density, which atoms are dead, a threshold) is put together here. In a process of its own each
function gives what it is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_reduce

from isoenergy.errors import InputError

# The first process reads the whole store before the others go on.
_PATIENCE = timedelta(days=1)


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun started; does nothing in a process that it did not start."""
    if dist.is_initialized() or not dist.is_torchelastic_launched():
        yield
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; the first alone writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def device() -> torch.device:
    """What this process computes on: its GPU where there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def distributed(module: nn.Module) -> nn.Module:
    """The module with gradients averaged over processes."""
    if count() == 1:
        return module
    return nn.parallel.DistributedDataParallel(module)


def share(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs from first to before last that this process takes of batches of these sizes.

    Of a batch with fewer pairs than processes each takes all: no share is empty, and means over
    shares are what they were.
    """
    few = sizes < count()
    first = np.where(few, 0, sizes * rank() // count())
    return first, np.where(few, sizes, sizes * (rank() + 1) // count())


def told_by_first(value: Any) -> Any:
    """What the first process says, known to all."""
    if count() == 1:
        return value
    told = [value]
    dist.broadcast_object_list(told, src=0)
    return told[0]


def agree(value: Any, what: str) -> None:
    """Wait for all processes and make sure that they have the same value.

    Raises
    ------
    InputError
        If they have not.
    """
    if count() == 1:
        return
    told: list[Any] = [None] * count()
    dist.all_gather_object(told, value)
    if any(one != told[0] for one in told):
        raise InputError(
            f"{what} differs between processes ({told}); run the same command on every machine, in "
            "a folder that all of them share"
        )


def weight(own: int, rows: int) -> float:
    """What a loss of ``own`` rows is multiplied by, so that the mean over processes is the batch's.

    ``rows`` has the whole batch; a process that has all of it counts in full.
    """
    return 1.0 if own == rows else count() * own / rows


def batch_mean(mean: Tensor, rows: int) -> Tensor:
    """Mean over a whole batch, differentiable, from a mean over the ``rows`` of this process."""
    if count() == 1:
        return mean
    known = torch.cat([rows * mean.flatten(), mean.new_tensor([rows])])
    totals = all_reduce(known, "sum", dist.group.WORLD)
    return (totals[:-1] / totals[-1]).view(mean.shape)


def any_process(mask: Tensor) -> Tensor:
    """Whether a flag is set in any process, bool of the mask's shape."""
    if count() == 1:
        return mask
    flags = mask.to(torch.uint8)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return flags.bool()


def largest_of_batch(values: Tensor, per_row: int) -> Tensor:
    """The smallest of the largest ``per_row`` times as many values of a batch as it has rows.

    Parameters
    ----------
    values : Tensor of shape (rows, K)
        Of the rows of this process.
    per_row : int
        At most K.
    """
    if count() == 1:
        return values.flatten().topk(per_row * len(values)).values[-1]
    wanted = per_row * int(_total(torch.tensor(len(values))))
    top = values.flatten().topk(min(wanted, values.numel())).values
    padded = nn.functional.pad(top, (0, wanted - len(top)), value=-torch.inf)
    parts = [torch.empty_like(padded) for _ in range(count())]
    dist.all_gather(parts, padded)
    return torch.cat(parts).topk(wanted).values[-1]


def _total(number: Tensor) -> Tensor:
    dist.all_reduce(number)
    return number
