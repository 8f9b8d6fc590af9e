"""Upscaling in bounded memory: what the stages need (probe), where to cut (plan), and the work itself (run)."""

from . import self_ensemble
from .memory import parse_size
from .plan import Halo, Job, Plan, make_plan, untiled_peak
from .probe import StageBytes, stage_bytes
from .run import bands
from .source import Source

__all__ = ["Halo", "Job", "Plan", "Source", "StageBytes", "bands", "make_plan", "parse_size", "self_ensemble",
           "stage_bytes", "untiled_peak"]
