"""What a model does to pictures that are no clean photographs: pixel patterns, text, line art, JPEG.

`pictures` draws them, `measures` says what is measured, `table` runs a model over them. Everything is drawn from fixed
numbers, without a font file, so that every machine measures the same pictures.
"""

from .table import PATTERNS, RECIPE, Row, robustness, summary

__all__ = ["PATTERNS", "RECIPE", "Row", "robustness", "summary"]
