"""Prints the tables of the README and of docs/benchmarks.md from results files, or writes them between markers there.

    python -m bench.tables [FILE]                     all tables, from FILE or the newest of bench/results: of the CPU's
                                                      (pytest bench) and of a GPU's (bench/device.sh)
    python -m bench.tables [FILE] --write PAGE...     fills in all between <!-- bench:NAME --> and <!-- /bench:NAME -->
    python -m bench.tables [FILE] --check PAGE...     exit status 1 where a page says anything else

PAGE: README.md, docs/benchmarks.md.
"""

import argparse
import json
import pathlib
import re
import sys

from .cpu import tables as cpu_tables
from .device import tables as gpu_tables

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
MARKED = re.compile(r"(<!-- bench:([\w-]+) -->\n).*?(<!-- /bench:\2 -->)", re.DOTALL)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=pathlib.Path, help="results file; default: the newest of each kind")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", metavar="PAGE", type=pathlib.Path, nargs="+")
    action.add_argument("--check", metavar="PAGE", type=pathlib.Path, nargs="+")
    chosen = parser.parse_args(arguments)
    try:
        runs = [Run(json.loads(path.read_text(encoding="utf-8")), path.name)
                for path in ([chosen.file] if chosen.file else newest())]
        if not (chosen.write or chosen.check):
            print("\n".join(map(everything, runs)))
            return 0
        differ = [update(page, runs, write=bool(chosen.write)) for page in chosen.write or chosen.check]
        return int(bool(chosen.check) and any(differ))
    except (OSError, ValueError) as error:
        print(f"bench.tables: {error}", file=sys.stderr)
        return 2


def update(page, runs, write):
    """Write a page's tables, or say whether they are those of the runs. Returns whether they differ."""
    old = new = page.read_text(encoding="utf-8")
    for run in runs:
        new = filled(new, run)
    if write:
        temporary = page.with_name(f".{page.name}.part")
        temporary.write_text(new, encoding="utf-8")
        temporary.replace(page)
    else:
        names = " and ".join(run.file_name for run in runs)
        print(f"{page} {'agrees with' if old == new else 'differs from'} {names}")
    return old != new


class Run:
    """A results file, its records by name."""

    def __init__(self, stored, file_name):
        self.stored, self.file_name = stored, file_name
        self.facts, self.machine, self.isa = stored["facts"], stored["machine"], stored["machine"]["isa"]
        self.cases = {record["name"]: record for record in stored["cases"]}

    def case(self, name):
        """The record of a case, {} where the run has none."""
        return self.cases.get(name, {})

    @property
    def tables(self):
        """The tables that it can fill: {name: function of the run}."""
        return gpu_tables.TABLES if self.stored.get("on") == "gpu" else cpu_tables.TABLES

    @property
    def ready(self):
        """The names of the tables that the README may take."""
        if self.stored["complete"]:
            return list(self.tables)
        return gpu_tables.ready(self) if self.stored.get("on") == "gpu" else []


def newest():
    """The results files that were finished last, one of each kind that is there; a complete one goes first."""
    found = {}
    for path in RESULTS.glob("*.json"):
        stored = json.loads(path.read_text(encoding="utf-8"))
        kind = stored.get("on", "cpu")
        found[kind] = max(found.get(kind, (False,)), (stored["complete"], stored["finished"], path))
    if not found:
        raise ValueError(f"there are no results in {RESULTS}; run pytest bench, or name a file.")
    return [path for _, (*_, path) in sorted(found.items())]


def everything(run):
    """All tables of a run, between their markers."""
    return "\n".join(f"<!-- bench:{name} -->\n{make(run)}<!-- /bench:{name} -->\n" for name, make in run.tables.items())


def filled(text, run):
    """The text with every marked table of the run's kind made anew: all from a complete run, and from a GPU's record
    those whose parts have run."""
    if not run.ready:
        raise ValueError(f"{run.file_name} is not a complete run; the pages take nothing else.")
    known = {**cpu_tables.TABLES, **gpu_tables.TABLES}
    closed = [match[2] for match in MARKED.finditer(text)]
    opened = re.findall(r"<!-- bench:([\w-]+) -->", text)
    wrong = [name for name in opened if name not in known or name not in closed]
    if wrong:
        raise ValueError(f"the marker bench:{wrong[0]} is unknown or not closed; there are {', '.join(known)}.")
    if not opened:
        raise ValueError("there is no marker <!-- bench:NAME --> in the file.")

    def fill(match):
        return match[1] + run.tables[match[2]](run) + match[3] if match[2] in run.ready else match[0]

    return MARKED.sub(fill, text)


if __name__ == "__main__":
    sys.exit(main())
