"""CMSR, controllable multi-scale rendering (LMF, arXiv 2404.16451, section 3.4): smooth cells at lower scales."""

from .build import DECODE_SCALES, OUTPUT_SCALES, build_tables
from .choice import CMSR, Multiscale, resolve
from .render import Rendering
from .table import Tables, checked, read_tables, write_tables

__all__ = ["CMSR", "DECODE_SCALES", "Multiscale", "OUTPUT_SCALES", "Rendering", "Tables", "build_tables", "checked",
           "read_tables", "resolve", "write_tables"]
