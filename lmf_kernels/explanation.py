"""What would run a model's render stage here, and why nothing better does."""

from dataclasses import dataclass
from typing import Optional

import torch

from .backends import RenderCall, explain as explain_call
from .models import Decoder
from .spec import field_channels, weight_count


@dataclass(frozen=True)
class Explanation:
    """family: the render family. requested: the backend asked for. runs: the one that would run, None if none can.
    refusals: why others cannot, by name. passed_over: why "auto" leaves alone what could, by name. evidence: on a GPU,
    what was measured on its kind, in words. gradients: the backend that makes those of fields, weights and skip."""

    family: str
    requested: str
    runs: Optional[str]
    refusals: dict[str, str]
    passed_over: dict[str, str]
    evidence: list[str]
    gradients: Optional[str]

    def __str__(self) -> str:
        lines = [f"{self.family}: runs on {self.runs or 'nothing'} (asked for: {self.requested})"]
        lines += [f"  {name} cannot: {reason}" for name, reason in self.refusals.items()]
        lines += [f"  {name} is passed over: {reason}" for name, reason in self.passed_over.items()]
        lines += [f"  gradients: made by {self.gradients}"] if self.gradients else []
        return "\n".join(lines + [f"  measured: {entry}" for entry in self.evidence])


def explain(
    model: Decoder, *, points: bool = False, finish: str = "none", dtype: torch.dtype = torch.float32
) -> Explanation:
    """Say which backend would render for `model`, without running anything.

    model: from `load_model`. points: query points instead of a grid. finish, dtype: as in `ops.modulated_mlp`.
    Returns an Explanation; print it.
    """
    family = "modulated_mlp" if model.film else "plain_mlp"
    spec = model.render_spec
    like = next(model.parameters())
    with torch.no_grad():
        queries = {"coord": like.new_zeros(1, 1, 2), "cell": like.new_zeros(1, 1, 2)} if points else {}
        call = RenderCall(
            family, spec, like.new_zeros(1, 1, 1, field_channels(family, spec)),
            like.new_zeros(weight_count(family, spec)), size=(1, 1), window=(0, 0, 1, 1), lr=(0, 0, 1, 1),
            finish=finish, dtype=like.dtype if points else dtype, **queries)
    return Explanation(family, **explain_call(call, model.backend))
