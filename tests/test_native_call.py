"""Render calls cross into C++ as structs whose members have names: a wrong name or type raises at once."""

import importlib
import struct
from types import SimpleNamespace

import emulator
import pytest
import torch
from every_backend import needs_compiler
from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.cpu import native
from lmf_kernels.backends.native_call import Packer, dense, output_strides, pack_functions
from lmf_kernels.ops import RenderSpec
from lmf_kernels.families import MODULATED_MLP, PLAIN_MLP

SPEC = RenderSpec("linear", 0, (16,) * 2)
CPU = importlib.import_module("lmf_kernels._cpu")


def call_of(family, spec):
    """2 x 2 pixels from one cell."""
    fields, weights = torch.zeros(1, 1, 1, family.field_channels(spec)), torch.zeros(family.weight_count(spec))
    return RenderCall(family, spec, fields, weights, size=(2, 2), window=(0, 0, 2, 2), lr=(0, 0, 1, 1))


def pack(packer):
    call = call_of(MODULATED_MLP, SPEC)
    return packer.modulated_mlp(call, output_strides(call))


def altered(struct_name, change):
    """A packer for a module where a struct has other members: change(members) gives them."""
    size, members = CPU.structs[struct_name]
    structs = CPU.structs | {struct_name: (size + 8, tuple(change(list(members))))}
    return Packer(SimpleNamespace(structs=structs, enums=CPU.enums))


@pytest.mark.parametrize("struct_name, added, message", [
    ("RenderCall", "out.gamma", r"out\(\) missing 1 required keyword-only argument: 'gamma'"),
    ("RenderCall", "gamma", r"RenderCall\(\) missing 1 required keyword-only argument: 'gamma'"),
    ("ModulatedMlp", "gamma", r"ModulatedMlp\(\) missing 1 required keyword-only argument: 'gamma'"),
])
def test_a_member_that_python_does_not_pack_raises(struct_name, added, message):
    """As after adding a member in csrc/common/params.h alone."""
    def add(members):
        end = 1 + max(i for i, row in enumerate(members) if row[0].rpartition(".")[0] == added.rpartition(".")[0])
        later = [(name, code, offset + 8) for name, code, offset in members[end:]]
        return [*members[:end], (added, "i", members[end - 1][2] + 4), *later]

    with pytest.raises(TypeError, match=message):
        pack(altered(struct_name, add))


@pytest.mark.parametrize("struct_name, removed", [("RenderCall", "out.stride_y"), ("ModulatedMlp", "depth")])
def test_a_name_that_cpp_does_not_know_raises(struct_name, removed):
    """As after misspelling a name in native_call.py, or removing a member in csrc/common/params.h alone."""
    packer = altered(struct_name, lambda members: [row for row in members if row[0] != removed])
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{removed.rpartition('.')[2]}'"):
        pack(packer)


def test_structs_in_another_order_raise():
    swapped = {"fields": "skip", "skip": "fields"}
    with pytest.raises(TypeError, match="RenderCall consists of skip, fields, out, points, RenderCall"):
        altered("RenderCall", lambda members: [(".".join(swapped.get(part, part) for part in name.split(".")), *rest)
                                               for name, *rest in members])


@pytest.mark.parametrize("nested, name, value", [
    ("fields", "rows", 1.5), ("fields", "rows", None), ("fields", "stride_b", 2**63), ("fields", "rows", "0"),
    ("fields", "element", 2**31), ("RenderCall", "rel_cell_y", "wide"), ("out", "stride_c", torch.zeros(2)),
])
def test_a_value_of_the_wrong_type_raises(nested, name, value):
    function = pack_functions("RenderCall", *CPU.structs["RenderCall"])[nested]
    zeros = dict.fromkeys(function.__code__.co_varnames, 0)
    assert name in zeros and not any(function(**zeros))
    with pytest.raises((struct.error, TypeError)):
        function(**zeros | {name: value})


@pytest.mark.parametrize("struct_name", ["RenderCall", "ModulatedMlp", "ModulatedGradients"])
def test_every_member_is_packed_at_its_offset(struct_name):
    size, members = CPU.structs[struct_name]
    functions = pack_functions(struct_name, size, members)
    for name, code, offset in members:
        if code == "x":
            continue  # not packed: zeros in all the others' bytes
        expected = bytearray(size)
        struct.pack_into("=" + code, expected, offset, 1)
        packed = [function(**{n: int((f"{nested}.{n}" if nested != struct_name else n) == name)
                              for n in function.__code__.co_varnames}) for nested, function in functions.items()]
        assert b"".join(packed) == bytes(expected), name


def test_padding_is_zero():
    functions = pack_functions("Padded", 64, (("a.b", "i", 0), ("c", "q", 8), ("d", "?", 16), ("e.f", "q", 24),
                                              ("e.g", "x", 32), ("h.i", "x", 40), ("k.l", "x", 48), ("k.m", "q", 56)))
    assert list(functions) == ["a", "Padded", "e", "h", "k"]
    assert functions["a"](b=-1) == b"\xff" * 4 + bytes(4)
    assert functions["Padded"](c=2, d=True) == b"\x02" + bytes(7) + b"\x01" + bytes(7)
    assert functions["e"](f=3) == b"\x03" + bytes(15)
    assert functions["h"]() == bytes(8) and functions["k"](m=4) == bytes(8) + b"\x04" + bytes(7)


@pytest.mark.parametrize("wrong", [b"", bytes(100)])
def test_another_size_is_refused(wrong):
    nowhere = (0,) * 7
    for render in (CPU.modulated_mlp, CPU.plain_mlp, CPU.c2f_mlp):
        with pytest.raises(ValueError, match=rf"a packed struct of \d+ bytes is needed, got {len(wrong)} bytes"):
            render(wrong, nowhere, 1)
    with pytest.raises(ValueError, match="a packed struct of 24 bytes is needed"):
        CPU.modulated_backward(pack(native.packer), nowhere, 1, wrong)


def test_widths_lie_behind_the_struct():
    spec = RenderSpec("linear", 0, (5, 6, 7))
    call = call_of(PLAIN_MLP, spec)
    packed = native.packer.plain_mlp(call, output_strides(call))
    assert packed[-12:] == struct.pack("=3i", 5, 6, 7)
    with pytest.raises(ValueError, match=f"of {len(packed)} bytes is needed, got {len(packed) - 4} bytes"):
        CPU.plain_mlp(packed[:-4], (0,) * 7, 1)


@pytest.mark.parametrize("addresses, error", [((), ValueError), ((0,) * 6, ValueError), ([0] * 7, TypeError),
                                              ((0,) * 6 + ("0",), TypeError), ((2**64, *(0,) * 6), OverflowError)])
def test_other_addresses_are_refused(addresses, error):
    with pytest.raises(error):
        CPU.modulated_mlp(pack(native.packer), addresses, 1)


def test_tensors_in_other_layouts_are_copied():
    call = call_of(MODULATED_MLP, SPEC)
    assert dense(call) is call
    fields = call.fields.new_zeros(1, 1, 1, 2 * call.fields.shape[3])[..., ::2]
    weights = call.weights.new_zeros(2 * len(call.weights))[::2]
    copied = dense(call._replace(fields=fields, weights=weights))
    assert copied.fields.is_contiguous() and copied.weights.is_contiguous() and copied.skip is None
    assert copied.output_shape() == (1, 3, 2, 2) and output_strides(copied) == (12, 4, 2, 1)


def test_settings_are_those_of_the_environment(monkeypatch):
    monkeypatch.delenv("LMF_TEST_SETTING", raising=False)
    assert native.setting("LMF_TEST_SETTING") is None
    for value in ("", "a b", "\udcff\u00e9"):
        monkeypatch.setenv("LMF_TEST_SETTING", value)
        assert native.setting("LMF_TEST_SETTING") == value


def test_enums_name_the_dtypes_of_torch():
    for name in ("Element", "Store"):
        assert all(isinstance(getattr(torch, dtype), torch.dtype) for dtype in CPU.enums[name])
    assert set(CPU.enums["Head"]) == {"linear", "fourier"} and set(CPU.enums["Epilogue"]) == {"none", "unit"}


def test_cuda_has_the_structs_of_cpu():
    cuda = pytest.importorskip("lmf_kernels._cuda")
    assert cuda.structs == CPU.structs and cuda.enums == CPU.enums


@needs_compiler
def test_the_emulator_has_the_structs_of_cpu():
    assert emulator.load().structs == CPU.structs and emulator.load().enums == CPU.enums
