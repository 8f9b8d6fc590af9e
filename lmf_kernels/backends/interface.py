"""What a backend is: the interface that every one of them has, and the base class of those with kernels per family."""

from typing import Protocol


class Backend(Protocol):
    """Runs render calls of one or more families.

    Attributes:
        name: as users write it.
        needs_evidence: "auto" selects this backend only if it was measured to be right and fast on that kind of GPU.
        is_fallback: the slow backend that runs whatever the others refuse. On a GPU "auto" warns before it selects it.
    """

    name: str
    needs_evidence: bool
    is_fallback: bool

    def families(self):
        """Names of the families that it implements."""

    def availability(self):
        """(available, detail): whether it can run at all on this machine, and why not, or how."""

    def status(self, family):
        """As `availability`, for calls of one `families.Family`."""

    def can_run(self, call):
        """None, or the reason why this call cannot run, where `status` says that the family can."""

    def run(self, call):
        """Render into a new tensor of `call.output_shape()`."""

    def prepare(self, call):
        """None, or a function like `run` for all calls that differ from this one in the addresses and contents of their
        tensors alone. It is kept and must hold no tensor. A backend that gives one accepts all these calls."""

    def can_differentiate(self, call, wanted):
        """None, or the reason why gradients of the tensors named in `wanted` cannot be computed."""

    def gradients(
        self,
        call,
        grad,  # like the call's output
        wanted,
    ):
        """Gradients of the tensors named in `wanted`, in their order."""

    def conflict(self, call):
        """None, or why a setting of the user's forbids "auto" to select another backend for this call."""

    def pixels_at_once(self, device):
        """The most output pixels for which intermediate values exist at a time; None: those of the whole call."""

    def has_cell_mask(self, family):
        """Whether its grid render of one `families.Family` takes `RenderCall.mask`. Where it does not, pixels of chosen
        cells are rendered as query points."""


class KernelBackend:
    """A Backend with one module of kernels per family.

    Such a module has `can_run(call)` and `run(call)`; with a backward kernel also `can_differentiate(call, wanted)` and
    `gradients(call, grad, wanted)`; where it can prepare renders, `prepare(call)`. HAS_CELL_MASK is True in one whose
    `run` follows `RenderCall.mask` and `out`.

    Args:
        name: as users write it.
        kernels: {family name: module}.
        availability: () -> (available, detail), the same for all families.
        needs_evidence, is_fallback: see Backend.
        self_tests: device -> {selfcheck Item: function}, what a self-check tries before the kernels on that device. A
            function gives what is wrong, or None.
    """

    def __init__(self, name, kernels, availability, *, needs_evidence=False, is_fallback=False, self_tests=None):
        self.name, self.kernels, self._availability = name, kernels, availability
        self.needs_evidence, self.is_fallback = needs_evidence, is_fallback
        self.self_tests = self_tests or (lambda device: {})

    def families(self):
        return sorted(self.kernels)

    def availability(self):
        return self._availability()

    def status(self, family):
        available, detail = self.availability()
        if available and family.name not in self.kernels:
            return False, f"it has no {family.name} kernel yet"
        return available, detail

    def can_run(self, call):
        return self.kernels[call.family.name].can_run(call)

    def run(self, call):
        return self.kernels[call.family.name].run(call)

    def prepare(self, call):
        kernel = self.kernels[call.family.name]
        return kernel.prepare(call) if hasattr(kernel, "prepare") else None

    def can_differentiate(self, call, wanted):
        kernel = self.kernels[call.family.name]
        if not hasattr(kernel, "can_differentiate"):
            return "it has no backward kernel"
        return kernel.can_differentiate(call, wanted)

    def gradients(
        self,
        call,
        grad,  # like the call's output
        wanted,
    ):
        return self.kernels[call.family.name].gradients(call, grad, wanted)

    def conflict(self, call):
        return None

    def pixels_at_once(self, device):
        return None

    def has_cell_mask(self, family):
        return getattr(self.kernels.get(family.name), "HAS_CELL_MASK", False)
