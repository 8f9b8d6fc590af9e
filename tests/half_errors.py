"""How far a half-precision render may be from the truth: DESIGN.md's measure is the same maths in eager torch."""

import torch

DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16}
EQUAL_BYTES = {torch.float16: 0.95, torch.bfloat16: 0.80}


def rms(difference):
    """Root mean square, in float64."""
    return difference.double().square().mean().sqrt().item()


def check_error(got, truth, eager, largest=False):
    """Assert that `got` is a picture no further from the truth than twice what eager torch is, in the mean.

    largest: also its largest error is no larger than twice eager's; over few pixels that is a matter of luck.
    """
    assert got.shape == truth.shape
    assert not got.isnan().any(), "a pixel was left unwritten"
    ours, theirs = got.double() - truth, eager.double() - truth
    assert rms(ours) <= 2 * rms(theirs), f"error {rms(ours):.2e}, that of eager torch is {rms(theirs):.2e}"
    if largest:
        ours, theirs = ours.abs().max().item(), theirs.abs().max().item()
        assert ours <= 2 * theirs, f"largest error {ours:.2e}, that of eager torch is {theirs:.2e}"


def check_bytes(got, truth, dtype):
    """Assert that no byte is off by more than one and enough are equal. truth: the finished values in float64."""
    off = (got.double() - (truth * 255).round()).abs()
    equal = (off == 0).double().mean().item()
    assert off.max() <= 1, f"a byte is off by {int(off.max())}"
    assert equal >= EQUAL_BYTES[dtype], f"{equal:.1%} of the bytes are equal"
