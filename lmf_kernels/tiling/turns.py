"""The eight flips and quarter turns of a picture, on tensors and on the windows of a plan."""

from itertools import product
from typing import NamedTuple


class Turn(NamedTuple):
    """One of the eight: first flipped along y, along x, then y and x exchanged."""

    flip_y: bool
    flip_x: bool
    swap: bool

    def tensor(
        self,
        image,  # (B, C, h, w)
    ):
        """The picture turned: (B, C, h, w), or (B, C, w, h) where the axes are exchanged. A view, or a copy."""
        image = image.flip([dim for dim, flip in ((2, self.flip_y), (3, self.flip_x)) if flip])
        return image.transpose(2, 3) if self.swap else image

    def back(
        self,
        image,  # (B, C, h, w) turned
    ):
        """Undoes `tensor`."""
        image = image.transpose(2, 3) if self.swap else image
        return image.flip([dim for dim, flip in ((2, self.flip_y), (3, self.flip_x)) if flip])

    def pair(self, y, x):
        """Something of each axis, such as (h, w), in the turned picture's order."""
        return (x, y) if self.swap else (y, x)

    def window(self, y, x, size):
        """Ranges [start, stop) of rows and columns of a picture of size (h, w): where they lie in the turned one."""
        return self.pair(*self._flipped(y, x, size))

    def window_back(self, y, x, size):
        """Undoes `window`; size is that of the unturned picture."""
        return self._flipped(*self.pair(y, x), size)

    def _flipped(self, y, x, size):
        return tuple((n - stop, n - start) if flip else (start, stop)
                     for (start, stop), n, flip in zip((y, x), size, (self.flip_y, self.flip_x)))


TURNS = tuple(Turn(*each) for each in product((False, True), repeat=3))
