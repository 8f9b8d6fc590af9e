"""The arguments and compile-time constants of a render call that all kernels of the modulated family share."""

from typing import NamedTuple

from torch import Tensor

INT32 = 2 ** 31  # positions are int64 if intermediate results can reach it
# Products and sums are fused only where the kernel calls fma. The bits of a pixel then do not depend on what else the
# compiler knows, such as a stride of 1.
COMPILED_WITH = {"num_stages": 1, "enable_fp_fusion": False}


class Extent(NamedTuple):
    """The pixels of a call and where they lie in memory. Points are treated as one row of pixels."""

    coord: Tensor | None  # (B, Q, 2) contiguous
    cell: Tensor | None  # (B, Q, 2) contiguous
    steps: tuple[int, int, int, int]  # strides of b, c, y, x
    lr: tuple[int, int, int, int]  # (h, w) of the whole map, (y0, x0) of the fields within it
    size: tuple[int, int]  # (H, W) of the whole output; unused for points
    window: tuple[int, int, int, int]  # (y0, x0, rows, cols)
    rel_cell: tuple[float, float]  # unused for points

    def fits_int32(self):
        """Whether int32 can hold all positions."""
        return fits_int32(self.lr[:2], self.size)


def fits_int32(
    lr,  # (h, w) of the whole map
    size,  # (H, W) of the whole output
):
    """Whether int32 can hold all that `geometry.grid_axis` and `contributing_pixels.contributing_range` compute."""
    return all((2 * out + 1) * n_in + max(out, 2 * n_in + out) < INT32 for n_in, out in zip(lr, size))


def extent(
    call,
    pixels,  # call.output_shape()
):
    """The Extent of a call. `pixels` is its output or the gradient of its output."""
    stride = pixels.stride()
    if not call.on_grid:
        lr = (*call.fields.shape[1:3], 0, 0)
        return Extent(call.coord.contiguous(), call.cell.contiguous(), (stride[0], stride[2], 0, stride[1]), lr, (0, 0),
                      (0, 0, 1, call.coord.shape[1]), (0.0, 0.0))
    y0, x0, h, w = call.lr
    b, c, y, x = (0, 1, 2, 3) if call.layout == "nchw" else (0, 3, 1, 2)
    return Extent(None, None, (stride[b], stride[c], stride[y], stride[x]), (h, w, y0, x0), call.size, call.window,
                  call.rel_cell)


def network(
    call,  # from `native_call.dense`
):
    """The compile-time constants that both kernels share, by name."""
    spec = call.spec
    hidden, half = spec.widths[0], spec.in_dim // 2
    return {
        "GRID": call.on_grid, "FOURIER": spec.head == "fourier", "ENSEMBLE": spec.ensemble, "DEPTH": len(spec.widths),
        "HIDDEN": hidden, "HIDDEN_PADDED": max(16, power_of_two(hidden)), "HALF": half,
        "HALF_PADDED": max(8, power_of_two(half)),
        "ALIGNMENT": 16 if all(step % 16 == 0 for step in call.fields.stride()[:3]) else 1,
    }


def power_of_two(n):
    """The smallest power of two >= n."""
    return 1 << max(0, n - 1).bit_length()
