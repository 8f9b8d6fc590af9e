"""Triton's interpreter, changed for the tests: the same sums wherever a row stands, less waste, new numpy."""

import functools
import os

INTERPRETING = bool(os.environ.get("TRITON_INTERPRET"))


def sum_in_order():
    """Replace the interpreter's `dot` from here on.

    numpy's own matrix product hands rows to BLAS, whose order of sums changes from row to row: half the rows of a block
    get other bits when they are moved, which no GPU does. Tests that compare bits would see BLAS and not the kernel.
    """
    import numpy as np
    from triton.runtime import interpreter

    def create_dot(self, a, b, d, *precision):
        assert a.data.dtype == b.data.dtype == d.data.dtype == np.float32
        total = d.data.copy()
        for k in range(a.data.shape[1]):
            total += a.data[:, k:k + 1] * b.data[k]
        return interpreter.TensorHandle(total, d.dtype.scalar)

    interpreter.InterpreterBuilder.create_dot = create_dot


def look_once():
    """Replace the functions of `triton.language` once a launch, and remember which: the interpreter looks for them anew
    at each call of a helper, which takes most of the time."""
    import triton.language as tl
    from triton.runtime import interpreter

    found = {}

    def patch_builtin(module, builder, scope):
        if module not in found:
            found[module] = [name for name in dir(module) if tl.core.is_builtin(getattr(module, name))]
        for name in found[module]:
            member = getattr(module, name)
            if tl.core.is_builtin(member):
                interpreter._patch_attr(module, name, member, builder, scope)

    interpreter._patch_builtin = patch_builtin
    patch_language = interpreter._patch_lang

    @functools.cache
    def modules(function):
        used = function.__globals__.values()
        return [module for module in (tl, tl.core) if any(value is module for value in used)]

    def patch_unless_done(function):
        # A helper's call finds the modules as its kernel's launch, or an earlier helper of that module, has left them.
        if any(tl.core.is_builtin(module.arange) for module in modules(function)):
            return patch_language(function)
        return interpreter._LangPatchScope()

    interpreter._patch_lang = patch_unless_done


def derive_types_once():
    """Remember what a type's shape, a tensor's shape and a numpy type come to: each operation derives them anew."""
    import triton.language as tl
    from triton.language.semantic import TritonSemantic
    from triton.runtime import interpreter

    make_tensor, make_block = tl.core.tensor.__init__, tl.core.block_type.__init__
    tensor_shapes, block_shapes, numpy_types = {}, {}, {}

    def tensor(self, handle, type):
        shape = tuple(type.shape) if type.is_block() else ()
        if shape not in tensor_shapes:
            make_tensor(self, handle, type)
            tensor_shapes[shape] = self.shape, self.numel
        self.handle, self.type, self.dtype = handle, type, type.scalar
        self.shape, self.numel = tensor_shapes[shape]

    def block_type(self, element_ty, shape):
        given, shape = shape, tuple(shape)
        if shape not in block_shapes:
            make_block(self, element_ty, given)
            block_shapes[shape] = self.shape, self.numel, str(self.shape)
        self.element_ty = element_ty
        self.shape, self.numel, text = block_shapes[shape]
        self.name = f"<{text}, {element_ty}>"

    find_numpy_type = interpreter._get_np_dtype

    def numpy_type(dtype):
        name = dtype.scalar.name
        if name not in numpy_types:
            numpy_types[name] = find_numpy_type(dtype)
        return numpy_types[name]

    broadcast = TritonSemantic.broadcast_impl_value

    def broadcast_unless_alike(self, lhs, rhs):
        alike = lhs.type.is_block() and rhs.type.is_block() and lhs.type.shape is rhs.type.shape
        return (lhs, rhs) if alike else broadcast(self, lhs, rhs)

    tl.core.tensor.__init__, tl.core.block_type.__init__ = tensor, block_type
    TritonSemantic.broadcast_impl_value = broadcast_unless_alike
    interpreter._get_np_dtype = numpy_type


def leave_out_overflow_checks():
    """The interpreter adds, subtracts and multiplies integers a second time in 64 bits, compares, and throws the answer
    away: only with `debug` it would look at it."""
    from triton.language.semantic import TritonSemantic

    TritonSemantic.binary_op_sanitize_overflow_impl = lambda self, *of_no_use: None


def count_with_new_numpy():
    """Let `range` take a tensor of one value: numpy 2.4 refuses what Triton before 3.9 does with it."""
    from triton.runtime import interpreter

    original = interpreter._patch_lang_tensor

    def patch_lang_tensor(tensor, scope):
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    interpreter._patch_lang_tensor = patch_lang_tensor
