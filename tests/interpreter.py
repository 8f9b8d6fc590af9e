"""Triton's interpreter, changed for the tests: the same sums wherever a row stands, less waste, new numpy."""

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

    def patch_unless_done(function):
        # A helper's call finds the modules as its kernel's launch, or an earlier helper of that module, has left them.
        used = function.__globals__.values()
        modules = [module for module in (tl, tl.core) if any(value is module for value in used)]
        if any(tl.core.is_builtin(module.arange) for module in modules):
            return patch_language(function)
        return interpreter._LangPatchScope()

    interpreter._patch_lang = patch_unless_done


def count_with_new_numpy():
    """Let `range` take a tensor of one value: numpy 2.4 refuses what Triton before 3.9 does with it."""
    from triton.runtime import interpreter

    original = interpreter._patch_lang_tensor

    def patch_lang_tensor(tensor, scope):
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    interpreter._patch_lang_tensor = patch_lang_tensor
