"""The errors users meet. Each message is one sentence or two: what was given, what is allowed, what to do."""


class InputError(ValueError):
    """Something handed to us cannot be used: a shape, dtype, device, scale, size, file or option."""


class CheckpointError(InputError):
    """A file that should hold a model does not, or holds one we do not know."""


class BackendError(RuntimeError):
    """A backend asked for by name cannot run the call; the message says why and what would."""
