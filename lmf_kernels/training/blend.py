"""Weights between those that a run began with and those that it ended with."""

import os

import torch

from ..checkpoints import load_model, read_metadata, save_model
from ..errors import InputError


def blend(first, second, share, out):
    """Write the weights that lie between two models', and how they came about.

    After a run with `--init`, the first weights are best on what they were trained on and the new ones on what they saw
    last. Weights in between keep most of both, as long as one run led from one to the other (Wortsman et al., "Robust
    fine-tuning of zero-shot models", arXiv 2109.01903, equation 1).

    Args:
        first, second: built-in names or .safetensors files of one architecture.
        share: of the second's weights, from 0 to 1.
        out: .safetensors file to write. Its metadata are the second's, with `blend` added: {"first", "share"}.

    Raises:
        CheckpointError: a model cannot be read. InputError: the models differ, or the share is out of range.
    """
    if not 0 <= share <= 1:
        raise InputError(f"The share of the second weights is a number from 0 to 1, got {share!r:.40}.")
    model, other = (load_model(name, device="cpu", dtype=torch.float32) for name in (first, second))
    if model.spec != other.spec:
        raise InputError(f"{first} and {second} are not one architecture; blend the weights of a run with those that "
                         "it began with.")
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), other.parameters()):
            mine.lerp_(theirs, share)
    metadata = {**read_metadata(second), "blend": {"first": os.path.basename(first), "share": share}}
    save_model(model, out, metadata)
