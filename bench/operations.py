"""How much work a render is: the one count behind every GFLOP/s and every share of the peak.

Only useful multiply-adds of the restructured algorithm count, two operations each. Per output pixel and ensemble corner
of non-zero weight, with depth d, hidden width n and Fourier width m:

    linear head:   2 n  (rel_y and rel_x)  +  (d - 1) n^2  +  3 n
    Fourier head:  m n  +  (d - 1) n^2  +  3 n             =  d n^2 + 3 n  where m = n

Not counted, though the kernel does them: FiLM, ReLU, the Fourier product with its sines and cosines, the ensemble's
blend, the LR skip, the store, transposing records, lanes that stand idle at the end of a row. The share of the peak is
thus a lower bound of how busy the multipliers are.
"""


# Of a forward pass: the layer, its input's gradient, its weights' gradient. What backward computes again is left out.
FORWARD_AND_BACKWARD = 3


def macs_per_corner(spec):
    """Useful multiply-adds of one pixel at one corner."""
    hidden, depth = spec.widths[0], len(spec.widths)
    first = 2 * hidden if spec.head == "linear" else spec.in_dim * hidden
    return first + (depth - 1) * hidden * hidden + 3 * hidden


def grid_corners(lr, size, ensemble=True):
    """Corners of non-zero weight, summed over all pixels of a grid: four a pixel, fewer on rows of LR centres."""
    if not ensemble:
        return size[0] * size[1]
    total = 1
    for n_in, n_out in zip(lr, size):
        total *= sum(2 if ((2 * pos + 1) * n_in - n_out) % (2 * n_out) else 1 for pos in range(n_out))
    return total


def grid_flop(spec, lr, size):
    """Floating-point operations of a whole grid."""
    return 2 * macs_per_corner(spec) * grid_corners(lr, size, spec.ensemble)


def points_flop(spec, count):
    """Floating-point operations of `count` free points."""
    return 2 * macs_per_corner(spec) * count * (4 if spec.ensemble else 1)
