"""What `patch` says of a model: per decoder, what runs now, or why it was left alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PatchedModule:
    """One decoder. name: within the model, "" for the model itself. class_name: of the authors' class. model: what it
    was recognised as, such as "lmliif", or None. runs: the render family and backend that it uses now, or None if it
    was left as it is. reason: why it was left, or None."""

    name: str
    class_name: str
    model: str | None
    runs: str | None
    reason: str | None

    @property
    def patched(self) -> bool:
        """Whether it runs on the kernels now."""
        return self.reason is None

    def __str__(self) -> str:
        where = f"{self.name or 'the model'} ({self.class_name})"
        return f"{where}: {self.model} on {self.runs}" if self.patched else f"{where}: left, {self.reason}"


@dataclass(frozen=True)
class PatchReport:
    """modules: a PatchedModule per decoder found. Encoders are not listed: they stay as they are."""

    modules: tuple[PatchedModule, ...]

    @property
    def patched(self) -> tuple[PatchedModule, ...]:
        """Those that run on the kernels now."""
        return tuple(module for module in self.modules if module.patched)

    @property
    def left(self) -> tuple[PatchedModule, ...]:
        """Those that were left as they are."""
        return tuple(module for module in self.modules if not module.patched)

    def __str__(self) -> str:
        return "\n".join(map(str, self.modules)) or "no decoder of the LIIF family found"
