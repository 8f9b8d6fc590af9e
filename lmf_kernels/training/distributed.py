"""Several processes that share each step: what torchrun starts, one process a GPU (or a few on CPUs)."""

import os
from contextlib import contextmanager

import torch
import torch.distributed as dist

from ..errors import InputError


class Team:
    """This process among those of a run.

    Attributes:
        rank, size: its number, from 0, and how many there are.
        device: torch.device on which it works.
    """

    def __init__(self, rank, size, device):
        self.rank, self.size, self.device = rank, size, device

    @property
    def is_main(self):
        """Whether this process writes files and reports."""
        return self.rank == 0

    def places(self, batch):
        """The places of a batch that belong to this process."""
        if batch % self.size:
            raise InputError(f"A batch of {batch} cannot be divided evenly among {self.size} processes; "
                             f"give a multiple of {self.size}.")
        count = batch // self.size
        return range(self.rank * count, (self.rank + 1) * count)

    def wrap(self, module):
        """The module, with gradients averaged over the processes."""
        if self.size == 1:
            return module
        return torch.nn.parallel.DistributedDataParallel(
            module, device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def sync(self, used, stop):
        """(seconds used, whether to stop), the same on every process: the main one's time, and any one's stop."""
        if self.size == 1:
            return used, stop
        shared = torch.tensor([used if self.is_main else 0.0, float(stop)], dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return shared[0].item(), bool(shared[1].item())

    def mean(self, value):
        """The mean of a scalar tensor over the processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value

    def wait(self):
        """Until all are here."""
        if self.size > 1:
            self.sync(0.0, False)

    def machine(self):
        """What the run works on, in words without names of hosts."""
        if self.device.type == "cuda":
            return f"{self.size} x {torch.cuda.get_device_name(self.device)}"
        return f"{self.size * torch.get_num_threads()} CPU cores"


@contextmanager
def team(device):
    """Join the processes that torchrun has started, as its environment variables say; alone without them.

    Args:
        device: "cpu" or "cuda"; with torchrun each process takes the GPU of its local rank.

    Raises:
        InputError: the device is not there.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    try:
        device = torch.device(device)
        if device.type == "cuda" and size > 1:
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError):
        raise InputError(f"The device {str(device)!r:.40} cannot be used here; give 'cpu', or 'cuda' where there is "
                         "a GPU for every process.") from None
    if size == 1:
        yield Team(0, 1, device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()
