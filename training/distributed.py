"""Training in several processes, by ``torchrun``: each encodes its part of a step, all share the negatives.

Every process draws the same global batch and encodes its own slice of requests and targets. Vectors are gathered, each
process computes the loss of the whole batch, and gradients flow into its own slice; their sum over the processes is the
gradient of one process at the same global batch. Statistics of batch norm are those of the global batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.nn import functional as F


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that ``torchrun`` started; nothing where there is one."""
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if started:
        # the first process may embed all texts of a catalogue while the others wait for it
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=12))
    try:
        yield
    finally:
        if started:
            dist.destroy_process_group()


def launched_rank() -> int:
    """The number that ``torchrun`` gave this process, before it has joined the others."""
    return int(os.environ.get("RANK", "0"))


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def first_process_first() -> Iterator[None]:
    """The first process does what is within before the others do: it writes what they find."""
    if rank() > 0:
        dist.barrier()
    try:
        yield
    finally:
        if world_size() > 1 and rank() == 0:
            dist.barrier()


def agreed(value: dict[str, Any]) -> dict[str, Any]:
    """The first process's value, for all: what decides when to stop must not differ in a last bit."""
    if world_size() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held, src=0)
    return held[0]


def own_slice(count: int) -> slice:
    """This process's part of ``count`` rows; the parts of all processes are in order and cover every row."""
    bounds = [count * part // world_size() for part in (rank(), rank() + 1)]
    return slice(*bounds)


def gather(own: Tensor) -> Tensor:
    """The rows of all processes, in order of rank; a gradient reaches this process's own."""
    if world_size() == 1:
        return own
    counts = own.new_zeros(world_size(), dtype=torch.int64)
    counts[rank()] = len(own)
    dist.all_reduce(counts)
    padded = F.pad(own.detach(), (0, 0) * (own.ndim - 1) + (0, int(counts.max()) - len(own)))
    tables = [torch.empty_like(padded) for _ in range(world_size())]
    dist.all_gather(tables, padded.contiguous())
    parts = [table[:count] for table, count in zip(tables, counts.tolist(), strict=True)]
    parts[rank()] = own
    return torch.cat(parts)


def sum_gradients(module: nn.Module) -> None:
    """Add up the gradients of all processes: each has that of the whole loss by its own slice."""
    if world_size() == 1:
        return
    for parameter in module.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm over the rows of all processes (torch's own SyncBatchNorm needs a GPU)."""

    def forward(self, rows: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(rows)
        rows = rows.float()
        sums = torch.cat([rows.sum(0), rows.square().sum(0), rows.new_full((1,), len(rows))])
        total: Tensor = differentiable.all_reduce(sums)  # type: ignore[no-untyped-call]
        count = total[-1].detach()
        mean, square = (total[:-1] / count).chunk(2)
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr,arg-type]
            self.running_var.lerp_(unbiased, self.momentum)  # type: ignore[union-attr,arg-type]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scaled: Tensor = (rows - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        return scaled
