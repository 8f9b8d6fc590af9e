"""The results of one run: what was measured, on what, and with what. One JSON file, written whole or not at all."""

import datetime
import json
import os
import subprocess
import sys

from lmf_kernels.files import atomic_write

import machine
import settings

SCHEMA = 1
_BUSY = 0.03  # share of the machine in others' hands above which a warning is due
_UNSTEADY = 0.10  # a case beside which the peak falls this far below the best was disturbed


class Results:
    """Collects records while the run goes on; `finish` compares them with each other."""

    def __init__(self):
        self.cases = []  # records of measure.timed
        self.facts = {}  # what is true or false or counted rather than timed
        self.complete = False  # every case of the folder was asked for
        self.skipped = 0
        self.others = None
        self.started = _now()
        self.on = {"machine": machine.processor(), "versions": machine.versions(), "commit": machine.commit()}
        self._neighbours = machine.Neighbours()

    def finish(self, skipped=0):
        """Fill in every ratio between records of this run."""
        self.skipped, self.others = skipped, self._neighbours.share()
        self.complete = self.complete and not settings.QUICK and not skipped
        per_pixel = {record["name"]: record["ns_per_pixel"] for record in self.cases if "ns_per_pixel" in record}
        peaks = {}
        for record in self.cases:
            if "flop" in record:
                peaks[record["isa"]] = max(peaks.get(record["isa"], 0), record["peak_beside_gflop_per_s"])
        for record in self.cases:
            if "flop" in record:
                record["peak_gflop_per_s"] = peaks[record["isa"]]
                record["share_of_peak"] = record["gflop_per_s"] / peaks[record["isa"]]
            if record["kind"] in ("render", "points"):
                own, same = record["ns_per_pixel"], [record["model"], record["scale"]]
                record["times"] = {name.split("/")[0]: ns / own for name, ns in per_pixel.items()
                                   if name.split("/")[1:] == same and not name.startswith("cpu/")}
            if record["kind"] == "render":
                largest = per_pixel.get(record["name"].replace(f"/{record['scale']}/", "/x12/"))
                record["per_pixel_of_x12"] = record["ns_per_pixel"] / largest if largest else None

    def warnings(self):
        """What a reader of the numbers should know, in words."""
        found = []
        if self.others is not None and self.others > _BUSY:
            found.append(f"others used {self.others:.0%} of the machine during the run")
        shaken = [record["name"] for record in self.cases if "flop" in record
                  and record["lowest_peak_beside_gflop_per_s"] < (1 - _UNSTEADY) * record["peak_gflop_per_s"]]
        if shaken:
            named = ", ".join(shaken) if len(shaken) < 4 else f"{len(shaken)} cases"
            found.append(f"the multiply-add rate fell by more than {_UNSTEADY:.0%} beside {named}")
        if self.skipped:
            found.append(f"{self.skipped} cases were skipped")
        if settings.QUICK:
            found.append("quick mode: the sizes are tiny and the times mean nothing")
        return found

    def as_dict(self):
        return {
            "schema": SCHEMA, "started": self.started, "finished": _now(), "complete": self.complete,
            "quick": settings.QUICK, "warnings": self.warnings(), **self.on, "others_share": self.others,
            "facts": self.facts, "cases": self.cases,
        }


def write(found):
    """Write the file and return its path: bench/results for a complete run, bench/out for any other."""
    folder = settings.OUT or settings.FOLDER / ("results" if found.complete else "out")
    os.makedirs(folder, exist_ok=True)
    path = os.path.relpath(os.path.join(folder, f"{found.started[:10]}-{machine.slug()}-cpu.json"))
    with atomic_write(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(found.as_dict(), file, indent=1)
            file.write("\n")
    return path


def run_child(script, *arguments):
    """Run one of this folder's scripts in a fresh process; its standard output is JSON."""
    done = subprocess.run([sys.executable, str(settings.FOLDER / script), *map(str, arguments)], text=True,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
