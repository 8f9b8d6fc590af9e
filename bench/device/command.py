"""Programs that a part starts, within the time that it has."""

import os
import subprocess

from bench import config

TESTS = config.ROOT / "tests"


def run_within(seconds, command, **environment):
    """Run a command from the tests' folder; its exit status, None where it had to be stopped.

    From that folder, for the repository root must not be on sys.path: the source folder would be imported.
    """
    try:
        return subprocess.run(command, cwd=TESTS, env={**os.environ, **environment}, timeout=max(seconds, 1)).returncode
    except subprocess.TimeoutExpired:
        return None


def ended(status):
    """An exit status in words."""
    return "was stopped when its time was over" if status is None else f"ended with status {status}"
