"""A picture file in, a larger picture file out: prepared, so that all that can be wrong is found first, then run."""

from .placement import FITS, Box, Placement, place
from .prepare import Job, prepare
from .render import rendered_rows, run

__all__ = ["FITS", "Box", "Job", "Placement", "place", "prepare", "rendered_rows", "run"]
