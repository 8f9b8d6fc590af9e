"""Results files of both suites: JSON, written whole or not at all, with the machine, the versions and the commit."""

import datetime
import json
import pathlib
import subprocess
import sys

from lmf_kernels.files import atomic_write

from . import config, machine


def environment():
    """{"machine", "versions", "commit"}: what every number depends on."""
    return {"machine": machine.processor(), "versions": machine.versions(), "commit": machine.commit()}


def now():
    """The time as results files have it, UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def write(record, folder, name):
    """Write a record to FOLDER/NAME.json and return its path."""
    path = pathlib.Path(folder) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    return path


def run_child(script, *arguments):
    """Run a script of bench/children in a fresh process; its standard output is JSON."""
    done = subprocess.run([sys.executable, str(config.FOLDER / "children" / script), *map(str, arguments)], text=True,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)
