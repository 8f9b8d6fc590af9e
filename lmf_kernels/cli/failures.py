"""Which errors a user can do something about, and the sentence for each."""

from .. import errors


def sentence(error):
    """What to tell the user of `error`, None if it is none of theirs."""
    if isinstance(error, (errors.InputError, errors.BackendError)):
        return " ".join(str(error).split())
    if _out_of_memory(error):
        return "There is not enough memory for this; ask for a smaller output."
    return None


def _out_of_memory(error):
    """torch reports a failed allocation as a plain RuntimeError on a CPU, as OutOfMemoryError on a GPU."""
    return isinstance(error, MemoryError) or isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or any(
            sign in str(error) for sign in ("not enough memory", "can't allocate memory", "overflow")))
