"""Checks of the operators' plain arguments, made before torch's schema sees them, with one clear sentence each.

Under torch.compile sizes are symbols, which pass for whole numbers.
"""

import numbers
import operator

import torch

from ..backends.call import validate_options
from ..errors import InputError

EAGER = (torch.Tensor, torch.nn.Parameter)  # and not what stands for a tensor while torch traces
LARGEST_SIDE = 2 ** 31 - 1
SMALLEST = -LARGEST_SIDE


def ordinary(tensors):
    """Whether all are dense tensors in a CPU's or GPU's memory, and no objects that stand for one, as while torch
    traces."""
    if torch.compiler.is_compiling():
        return False
    for tensor in tensors:
        if (type(tensor) not in EAGER or tensor.layout is not torch.strided or not (tensor.is_cpu or tensor.is_cuda)
                or tensor.is_neg()):
            return False
    return True


def check_tensor(name, value, dims):
    """Raise InputError unless `value` is a dense tensor with so many dimensions."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        got = f"a {value.layout} tensor" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        raise InputError(f"{name} is {got}: pass a dense torch tensor.")
    if value.dim() != dims:
        raise InputError(f"{name} of shape {tuple(value.shape)} has {value.dim()} dimensions: pass {dims}.")


def whole_numbers(name, value, count):
    """`value` as `count` whole numbers up to the largest side of a picture."""
    if type(value) is tuple and len(value) == count:
        for item in value:
            if type(item) is not int or not SMALLEST <= item <= LARGEST_SIDE:
                break
        else:  # nearly always
            return value
    items = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(items) != count or not all(map(_is_whole, items)):
        raise InputError(f"{name} = {value!r:.60}: pass {count} whole numbers.")
    items = tuple(item if isinstance(item, (int, torch.SymInt)) else operator.index(item) for item in items)
    if any(isinstance(item, int) and abs(item) > LARGEST_SIDE for item in items):
        raise InputError(f"{name} = {items}: no side of a picture is above {LARGEST_SIDE}.")
    return items


def cell_pair(value):
    """None, or (cell_y, cell_x) as floats."""
    if value is None:
        return None
    items = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(items) != 2 or not all(isinstance(item, (numbers.Real, torch.SymFloat)) for item in items):
        raise InputError(f"cell = {value!r:.60}: pass (cell_y, cell_x), two positive finite numbers, or None.")
    return tuple(item if isinstance(item, torch.SymFloat) else float(item) for item in items)


def options(family, spec, epilogue, dtype, layout):
    """Check a spec's type and the options that are names."""
    if not isinstance(spec, family.spec_type):
        raise InputError(f"spec is a {type(spec).__name__}: pass a {family.spec_type.__name__}.")
    for name in family.whole_numbers:
        value = getattr(spec, name)
        if type(value) is not int and (type(value) is not tuple or {*map(type, value)} - {int}):
            raise InputError(f"{spec}: {name} must be whole numbers.")
    if not isinstance(dtype, torch.dtype):
        raise InputError(f"dtype={dtype!r:.40}: pass a torch.dtype such as torch.float32.")
    validate_options(epilogue, layout)


def _is_whole(item):
    return isinstance(item, (numbers.Integral, torch.SymInt)) and not isinstance(item, bool)
