"""Rounding, matrix products and sin/cos of pi q, for GPUs and for Triton's interpreter."""

import triton
import triton.language as tl


@triton.jit
def rounded(
    x,  # float32, float16 or bfloat16 block
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Round `x` to TYPE, to nearest even. EMULATED: the result is float32 with values that TYPE can represent, because
    the interpreter stores bfloat16 as integers and truncates instead of rounding."""
    # One chain of branches: the compiler also visits code after a `return`, and would find a second return type.
    if not EMULATED:
        return x.to(TYPE)
    elif TYPE == tl.bfloat16:
        wide = x.to(tl.float32)
        bits = wide.to(tl.int32, bitcast=True)
        near = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        return tl.where(wide == wide, near.to(tl.float32, bitcast=True), wide)
    else:
        return x.to(tl.float32).to(TYPE).to(tl.float32)


@triton.jit
def product(
    x,  # (pixels, in)
    w,  # (in, out)
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """x @ w with operands of TYPE, summed in float32."""
    if EMULATED and TYPE != tl.float32:
        x = rounded(x, TYPE, EMULATED)
        w = rounded(w, TYPE, EMULATED)
    else:
        x = x.to(TYPE)
        w = w.to(TYPE)
    return tl.dot(x, w, input_precision="ieee")


@triton.jit
def relu(x):
    """max(x, 0); NaN stays NaN."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def interleave(
    a,  # (rows, N)
    b,  # (rows, N)
):
    """(rows, 2 N): the columns of a and b, interleaved."""
    return tl.reshape(tl.join(a, b), (a.shape[0], 2 * a.shape[1]))


@triton.jit
def clamp_unit(x):
    """x within [0, 1]; NaN stays NaN."""
    return tl.minimum(relu(x), 1.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def round_to_byte(
    x,  # float32 within [0, 255], or NaN
):
    """Round half to even; NaN gives 0."""
    bits = (x + 12582912.0).to(tl.int32, bitcast=True)  # 1.5 * 2^23 leaves the integer in the low bits
    return tl.where(x == x, bits & 255, 0).to(tl.uint8)


@triton.jit
def sincospi(
    q,  # float32
):
    """(cos(pi q), sin(pi q)), about 1e-7 absolute for |q| < 2^21. csrc/cpu/sincospi.h does the same steps."""
    shifted = q + q + 12582912.0
    n = shifted - 12582912.0  # the integer nearest to 2 q
    t = tl.fma(n, -0.5, q)  # exact, within [-1/4, 1/4]
    t2 = t * t
    # Taylor series of sin(pi t) / t and cos(pi t); the first omitted term is below 2e-9 on this range.
    s = tl.fma(t2, 0.08214588661, -0.59926452932)
    s = tl.fma(s, t2, 2.55016403987)
    s = tl.fma(s, t2, -5.16771278005)
    s = tl.fma(s, t2, 3.14159265359) * t
    c = tl.fma(t2, -0.02580689139, 0.23533063035)
    c = tl.fma(c, t2, -1.33526276885)
    c = tl.fma(c, t2, 4.05871212641)
    c = tl.fma(c, t2, -4.93480220054)
    c = tl.fma(c, t2, 1.0)
    # Quadrant n mod 4: odd quadrants swap sine and cosine; then the signs follow the unit circle.
    k = shifted.to(tl.int32, bitcast=True)
    odd = (k & 1) != 0
    cos = tl.where(odd, s, c)
    sin = tl.where(odd, c, s)
    return tl.where(((k + 1) & 2) != 0, -cos, cos), tl.where((k & 2) != 0, -sin, sin)
