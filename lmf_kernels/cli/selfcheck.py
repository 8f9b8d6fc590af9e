"""`lmf-kernels selfcheck`: which GPU kernels are right and faster than plain PyTorch on this machine."""

import click


@click.command()
@click.option("--again", is_flag=True, help="Check also what has a verdict.")
@click.option("--device", type=click.IntRange(0), metavar="N", help="The GPU's number; default: torch's current one.")
def selfcheck(again, device):
    """Check the GPU kernels on this machine's GPU and print what was found.

    Each kernel is compared with the float64 reference and timed against plain PyTorch, in a process of its own.
    backend="auto" uses those that are right and faster. The verdicts are kept in ~/.cache/lmf_kernels/selfcheck, or
    where LMF_KERNELS_CACHE or XDG_CACHE_HOME says.
    """
    from ..selfcheck.report import survey

    survey(_gpu(device), click.echo, again)


def _gpu(index):
    """The torch.device of a GPU's number. Raises BackendError where there is no such GPU."""
    import torch

    from ..errors import BackendError

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise BackendError("The self-check needs a GPU, and torch shows none here.")
    index = torch.cuda.current_device() if index is None else index
    if index >= count:
        raise BackendError(f"--device {index}: torch shows {count} GPUs here, numbered from 0.")
    return torch.device("cuda", index)
