"""The results of one run of the CPU suite: what was measured, on what, and with what."""

import os

from bench import config, machine, results_file

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
        self.others_share = None
        self.started = results_file.now()
        self.environment = results_file.environment()
        self._neighbours = machine.Neighbours()

    def finish(self, skipped=0):
        """Fill in every ratio between records of this run."""
        self.skipped, self.others_share = skipped, self._neighbours.share()
        self.complete = self.complete and not config.QUICK and not skipped
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
        if self.others_share is not None and self.others_share > _BUSY:
            found.append(f"others used {self.others_share:.0%} of the machine during the run")
        shaken = [record["name"] for record in self.cases if "flop" in record
                  and record["lowest_peak_beside_gflop_per_s"] < (1 - _UNSTEADY) * record["peak_gflop_per_s"]]
        if shaken:
            named = ", ".join(shaken) if len(shaken) < 4 else f"{len(shaken)} cases"
            found.append(f"the multiply-add rate fell by more than {_UNSTEADY:.0%} beside {named}")
        if self.skipped:
            found.append(f"{self.skipped} cases were skipped")
        if config.QUICK:
            found.append("quick mode: the sizes are tiny and the times mean nothing")
        return found

    def as_dict(self):
        return {
            "schema": SCHEMA, "started": self.started, "finished": results_file.now(), "complete": self.complete,
            "quick": config.QUICK, "warnings": self.warnings(), **self.environment, "others_share": self.others_share,
            "facts": self.facts, "cases": self.cases,
        }


def write(found):
    """Write the file and return its path: bench/results for a complete run, bench/out for any other."""
    folder = config.OUT or config.FOLDER / ("results" if found.complete else "out")
    path = results_file.write(found.as_dict(), folder, f"{found.started[:10]}-{machine.slug()}-cpu")
    return os.path.relpath(path)
