"""Which backend would run a model's render stage here, and why no better one does."""

from dataclasses import dataclass

import torch

from .backends import explain as explain_call
from .backends.call import smallest_call
from .models import Decoder


@dataclass(frozen=True)
class Explanation:
    """family: the render family. requested: the backend asked for. runs: the one that would run, None if none can.
    refusals: why others cannot, by name. skipped: why "auto" leaves alone what could, by name. source: what "auto"
    goes by among GPU kernels ("measured.json", "self-check of 2030-05-01" or "none yet"), None if no kernel could run.
    evidence: on a GPU, what was measured on its kind, as text. selfcheck: what self-checks on it found, as text.
    cells: how pixels of chosen cells, as CMSR renders them, are rendered; None: not at all. gradients: the backend that
    computes those of fields, weights and skip."""

    family: str
    requested: str
    runs: str | None
    refusals: dict[str, str]
    skipped: dict[str, str]
    source: str | None
    evidence: list[str]
    selfcheck: list[str]
    cells: str | None
    gradients: str | None

    def __str__(self) -> str:
        by = f"; evidence: {self.source}" if self.source else ""
        lines = [f"{self.family}: runs on {self.runs or 'nothing'} (asked for: {self.requested}{by})"]
        lines += [f"  {name} cannot: {reason}" for name, reason in self.refusals.items()]
        lines += [f"  {name} is skipped: {reason}" for name, reason in self.skipped.items()]
        lines += [f"  chosen cells (CMSR, above x4): {self.cells}"] if self.cells else []
        lines += [f"  gradients: made by {self.gradients}"] if self.gradients else []
        lines += [f"  measured: {entry}" for entry in self.evidence]
        return "\n".join(lines + [f"  self-check: {verdict}" for verdict in self.selfcheck])


def explain(
    model: Decoder, *, points: bool = False, epilogue: str = "none", dtype: torch.dtype = torch.float32
) -> Explanation:
    """Which backend would render for `model`, without running anything.

    model: from `load_model`. points: query points instead of a grid. epilogue, dtype: as in `ops.modulated_mlp`.
    Returns an Explanation; print it.
    """
    with torch.no_grad():
        call = smallest_call(model.family, model.render_spec, next(model.parameters()), points=points,
                             epilogue=epilogue, dtype=dtype)
    return Explanation(model.family.name, **explain_call(call, model.backend))
