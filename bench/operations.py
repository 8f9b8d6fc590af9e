"""How much work a render is: the one count behind every GFLOP/s and every share of the peak.

Only useful multiply-adds of the restructured algorithm count, two operations each. Per output pixel and ensemble corner
of non-zero weight: the matrix of every dense layer, and 2 n of a linear head of width n (rel_y and rel_x). With depth
d, hidden width n and Fourier width m that is

    linear head:   2 n  +  (d - 1) n^2  +  3 n
    Fourier head:  m n  +  (d - 1) n^2  +  3 n             =  d n^2 + 3 n  where m = n

The plain family evaluates equal corners once: beyond the outermost LR centres two of a pixel's corners are the same.

Not counted, though the kernel does them: FiLM, ReLU, the Fourier product with its sines and cosines, the ensemble's
blend, the LR skip, the store, transposing records, lanes that stand idle at the end of a row. The share of the peak is
thus a lower bound of how busy the multipliers are.
"""


from lmf_kernels.families import C2F_MLP, PLAIN_MLP, render_spec

# Of a forward pass: the layer, its input's gradient, its weights' gradient. What backward computes again is left out.
FORWARD_AND_BACKWARD = 3


def macs_per_corner(spec):
    """Useful multiply-adds of one pixel at one corner."""
    first = 2 * spec.first_width if spec.head == "linear" else 0
    return first + sum(n_in * n_out for n_in, n_out in render_spec.layer_shapes(spec))


def grid_corners(lr, size, ensemble=True, distinct=False):
    """Corners of non-zero weight, summed over all pixels of a grid: four a pixel, fewer on rows of LR centres.

    distinct: equal corners at the border count once.
    """
    if not ensemble:
        return size[0] * size[1]
    total = 1
    for n_in, n_out in zip(lr, size):
        numerators = [(2 * pos + 1) * n_in - n_out for pos in range(n_out)]  # of the position in LR index units
        inner = [0 <= u < 2 * n_out * (n_in - 1) or not distinct for u in numerators]
        total *= sum(2 if u % (2 * n_out) and two else 1 for u, two in zip(numerators, inner))
    return total


def slices_macs(spec, lr, size):
    """Useful multiply-adds of a whole grid of the coarse-to-fine family.

    Per slice, once per vertex: the head's six numbers a channel and the coarse layers. Per slice and vector that is
    left after the blend along y (two; four of a constant slice, one without the slice ensemble): the first fine layer.
    Per pixel: the other fine layers.
    """
    linear = spec.slicing == "linear"
    slices = (size[0] if linear else lr[0]) * lr[1]
    vertices = 4 if spec.slice_ensemble else 1
    vectors = 2 if linear and spec.slice_ensemble else vertices
    coarse = (*((spec.in_dim,) if spec.head == "fourier" else ()), *spec.coarse)
    per_vertex = sum(a * b for a, b in zip(coarse, coarse[1:])) + (6 * coarse[0] if spec.head == "linear" else 0)
    per_pixel = sum(a * b for a, b in zip(spec.fine, (*spec.fine[1:], spec.out_dim)))
    return (slices * (vertices * per_vertex + vectors * spec.coarse[-1] * spec.fine[0])
            + size[0] * size[1] * per_pixel)


def grid_flop(spec, lr, size, family=None):
    """Floating-point operations of a whole grid; family: None stands for the modulated one."""
    if family is C2F_MLP:
        return 2 * slices_macs(spec, lr, size)
    return 2 * macs_per_corner(spec) * grid_corners(lr, size, spec.ensemble, family is PLAIN_MLP)


def points_flop(spec, count):
    """Floating-point operations of `count` free points."""
    return 2 * macs_per_corner(spec) * count * (4 if spec.ensemble else 1)
