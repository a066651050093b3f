"""Several processes as one: who takes part, how the model is shared out, how sums come together.

In: the environment that torchrun sets (RANK, WORLD_SIZE, LOCAL_RANK), or nothing for one process. Out: a `World`.
Each process has its own rows; the gradient is that of the whole step, in whatever number of processes.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from midi_llm.train.config import ComputeConfig
from midi_llm.train.model import TrainableLlama


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Process `rank` of `size`, on `device`; `gradients` is the group that adds them up, None for the default one."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    gradients: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether it writes the logbook and the files that are not shared out."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


TIMEOUT_SECONDS = 600.0


def join_world(*, timeout_seconds: float = TIMEOUT_SECONDS) -> World:
    """Join the processes that torchrun started (nccl on GPUs, gloo on CPUs); without it a world of one.

    A process that waits longer than `timeout_seconds` for another one fails; torchrun then starts all of them again, as
    often as its --max-restarts says.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    gradients = None
    if on_gpu:
        torch.cuda.set_device(device)
    if size > 1 and not dist.is_initialized():
        # torch 2.13 gives all attempts of one node the same store: after a restart a process may then find the address
        # of one that is gone, and wait for it for ever. Each attempt gets names of its own.
        store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=timeout_seconds)))
        own = PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        backend = "nccl" if on_gpu else "gloo"
        timeout = timedelta(seconds=timeout_seconds)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=timeout)
        # Who lets go of a gloo group last waits for its threads, and these for Python's lock where they have to free a
        # tensor that Python made. In torch 2.13 DDP's reducer keeps the lock meanwhile, so that both wait for ever, and
        # FSDP's caches keep their group until Python ends, which aborts such a thread. Both get a group of their own;
        # the default one, in which states are written to the last, ends in `leave_world`, which gives the lock up.
        gradients = None if on_gpu else dist.new_group(timeout=timeout)
    return World(rank=int(os.environ.get("RANK", "0")), size=size, device=device, gradients=gradients)


def leave_world(world: World) -> None:
    """Close what `join_world` opened."""
    if world.size > 1:
        dist.destroy_process_group()


def share_out(model: TrainableLlama, world: World, compute: ComputeConfig) -> nn.Module:
    """The module to call for the loss: `model` itself, or as DDP or FSDP2 wraps it. Compiles layers where asked for.

    FSDP2: one group a layer, and one for the rest, in which tied tables stay together.
    """
    model.to(world.device)
    if compute.compile:
        for layer in model.body.layers:
            layer.compile()
    if world.size == 1:
        return model
    if compute.strategy == "ddp":
        ids = [world.device.index] if world.device.type == "cuda" else None
        return DistributedDataParallel(
            model, device_ids=ids, process_group=world.gradients, gradient_as_bucket_view=True
        )
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if compute.precision == "bf16" else None, reduce_dtype=torch.float32
    )
    group = world.gradients
    mesh = None if group is None else DeviceMesh.from_group(group, world.device.type)
    for layer in model.body.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "position_nats")
    return model


def without_exchange(shared: nn.Module, last: bool) -> AbstractContextManager[object]:
    """A context for the forward and backward pass of a part of a step: gradients are exchanged after the last one."""
    if isinstance(shared, FSDPModule):
        shared.set_requires_gradient_sync(last)
    elif isinstance(shared, DistributedDataParallel) and not last:
        return shared.no_sync()
    return nullcontext()
