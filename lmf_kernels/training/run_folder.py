"""The folder of a run: what is written, and how it is read again.

    weights.safetensors   the averaged weights with their metadata: what `load_model` reads, and what ships
    state.pt              everything needed to go on: weights, their average, optimiser, step, time used, configuration
    log.jsonl             one line every few seconds: step, minutes, rate, loss; and the validation's numbers

Each of the first two replaces its predecessor by one rename and stands on its own, so a kill at any moment leaves files
that load.
"""

import json
import os
import pickle

import torch

from ..checkpoints import RUN_WEIGHTS, save_model
from ..errors import CheckpointError, InputError
from ..files import atomic_write, check_writable

WEIGHTS, STATE, LOG = RUN_WEIGHTS, "state.pt", "log.jsonl"
_FORMAT = 2  # 1: recipes without drawn pictures
_KEYS = {"format", "config", "step", "used", "weights", "average", "optimiser"}


class RunFolder:
    """Reads and writes a run's files. Nothing is touched before `make` or `write`."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def make(self):
        """Make the folder where it is missing; InputError where that fails or it cannot be written."""
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot make the folder {self.path}: {error.strerror or error}.") from None
        check_writable(self.file(WEIGHTS))

    def file(self, name):
        """Path of one of its files."""
        return os.path.join(self.path, name)

    @property
    def started(self):
        """Whether a run has been saved here."""
        return os.path.exists(self.file(STATE))

    def read_state(self):
        """What `write` was given last: {config, step, used, weights, average, optimiser}, tensors on the CPU.

        Raises:
            CheckpointError: there is no saved run, or its file is damaged or of another version.
        """
        path = self.file(STATE)
        if not self.started:
            raise CheckpointError(f"{self.path} holds no run to go on with: there is no {STATE}.")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except OSError as error:
            raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from None
        except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError):
            raise CheckpointError(f"{path} is damaged: torch cannot read it.") from None
        if not isinstance(state, dict) or set(state) != _KEYS or state["format"] != _FORMAT:
            raise CheckpointError(f"{path} is not the state of a run of this version.")
        return state

    def write(self, state, average, metadata):
        """Replace the state, then the weights.

        Args:
            state: as `read_state` gives it.
            average: models.Decoder holding the averaged weights.
            metadata: as `save_model` takes them.
        """
        with atomic_write(self.file(STATE)) as temporary:
            torch.save({"format": _FORMAT, **state}, temporary)
        save_model(average, self.file(WEIGHTS), metadata)

    def log(self, line):
        """Append a mapping to the log."""
        with open(self.file(LOG), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def cut_log(self, step):
        """Drop the log's lines beyond a step: a killed run has logged more than it saved."""
        if not os.path.exists(self.file(LOG)):
            return
        with open(self.file(LOG), encoding="utf-8") as file:
            lines = [line for line in file if _step_of(line) <= step]
        with atomic_write(self.file(LOG)) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.writelines(lines)


def _step_of(line):
    """The step of a log line; infinite for one that a kill has cut."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
