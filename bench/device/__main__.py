"""Runs the parts of a call, one process each, and keeps what they found. Started by bench/device.sh, from the
repository root:

    python -m bench.device [--call N] [--only PART ...] [--out DIR] [--previous FILE ...] [--train DATA]
    python -m bench.device --dry-run ...       on the CPU with tiny sizes
    python -m bench.device --plan              prints the calls, runs nothing
    python -m bench.device --merge FILE ...    joins the results files of several calls
"""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile

from . import plan

LARGEST = 14_000_000  # bytes, of a log
DAY = 86400  # seconds: what there is without --call


def main():
    chosen = arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends the part that is running, too
    if chosen.plan:
        print(plan.described())
        return 0
    return merge(chosen) if chosen.merge else measure(chosen)


def measure(chosen):
    """Run a call; the exit status is 1 where anything failed."""
    from .calls import run_all
    from .report import Report
    from .run_config import RunConfig
    from bench.results_file import now

    found = Report(RunConfig(dry=chosen.dry_run), now(), chosen.call)
    found.lost("build", chosen.build_failed, chosen.spent, begun=True)
    with tempfile.TemporaryDirectory() as folder:
        keeper = Keeper(chosen, found, pathlib.Path(folder))
        parts = plan.parts_of(chosen.call, chosen.only, chosen.train)
        seconds = DAY if chosen.call is None else plan.CALL - plan.CLOSING - chosen.spent
        run_all(parts, found.run_config, keeper.folder, keeper.log, found, seconds, keeper.known, keeper.keep, chosen)
        if found.failures:
            text = keeper.log.read_text(encoding="utf-8", errors="replace")
            print(f"---- the end of the log\n{text[-4000:]}\n----")
    return shown(keeper.record, keeper.path, keeper.sentences)


class Keeper:
    """Writes what is known, this call's and earlier ones', each time a part has ended: a call that is killed loses the
    part that was running, no more."""

    def __init__(self, chosen, found, folder):
        self.chosen, self.found, self.folder, self.log = chosen, found, folder, folder / "log.txt"
        self.record, self.path, self.earlier, self.sentences = None, None, None, []

    def known(self):
        """The names of the cases of the earlier calls."""
        return {case["name"] for record in self.earlier or () for case in record["cases"]}

    def keep(self):
        """Write the record, the log and ncu's report. The first part names the GPU, which decides
        what goes with it."""
        from . import merging, results_file

        if self.earlier is None:
            self.earlier, self.sentences = merging.fitting(self._previous(), self.found.record())
        self.record = self.found.finish(self.earlier)
        self.path = results_file.write(self.record, out_of(self.chosen))
        suffix = "" if self.chosen.call is None else f"-{self.chosen.call}"
        for source, name in ((self.log, f"log{suffix}.txt"), (self.folder / "ncu.txt", "ncu.txt")):
            if source.exists():
                copy_end(source, self.path.with_name(f"{self.path.stem}-{name}"))

    def _previous(self):
        if self.chosen.previous is not None:
            return self.chosen.previous
        from bench import config

        folders = dict.fromkeys((config.FOLDER / "results", out_of(self.chosen)))
        return [path for folder in folders for path in sorted(folder.glob("*-gpu.json"))]


def merge(chosen):
    """Join results files with the one that was finished last; the exit status is 1 where they do not go together."""
    from . import derived, merging, results_file

    records = [results_file.read(pathlib.Path(path)) for path in chosen.merge]
    last = max(records, key=lambda record: record["finished"])
    fit, sentences = merging.fitting(chosen.merge, last)
    record = derived.finished(merging.merged(fit))
    status = shown(record, results_file.write(record, out_of(chosen)), sentences)
    return 1 if sentences else status


def shown(record, path, sentences):
    """Print the tables, what to know of them, and where they are."""
    from bench import tables

    print(tables.everything(tables.Run(record, path.name)))
    for kind, texts in (("note", sentences), ("warning", record["warnings"]), ("failure", record["failures"])):
        for text in texts:
            print(f"{kind}: {text}")
    if record["missing"]:
        print(f"not in this record yet: {', '.join(record['missing'])}")
    print(f"written: {path}")
    return 1 if record["failures"] else 0


def out_of(chosen):
    """The folder of the results: --out, else bench/out for a dry run and bench/results for any other."""
    from bench import config

    return pathlib.Path(chosen.out or config.FOLDER / ("out" if chosen.dry_run else "results"))


def copy_end(source, target):
    """Copy a text file, whole or not at all; its end where it is too long."""
    from lmf_kernels.files import atomic_write

    with atomic_write(target) as temporary, open(temporary, "wb") as copy, open(source, "rb") as file:
        file.seek(max(0, source.stat().st_size - LARGEST))
        shutil.copyfileobj(file, copy)


def arguments():
    names = [part.name for part in plan.PARTS if part.name != plan.TRAIN]
    parser = argparse.ArgumentParser(prog="bench/device.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--call", type=int, choices=plan.CALLS, help=f"one of the calls of the plan, {plan.CALL} s at "
                        "most; without it all parts run, as long as they take")
    parser.add_argument("--plan", action="store_true", help="print the calls and their parts, and run nothing")
    parser.add_argument("--only", metavar="PART", nargs="*", choices=names,
                        help=f"some of {', '.join(names)}; none: --only with nothing behind it")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, tiny sizes: does the program work?")
    parser.add_argument("--out", metavar="DIR", help="where the results go; default: bench/results, for a dry run "
                        "bench/out")
    parser.add_argument("--previous", metavar="FILE", nargs="*", help="results files of earlier calls, which this one "
                        "completes; default: those of this GPU and these sources in bench/results and --out")
    parser.add_argument("--merge", metavar="FILE", nargs="+", help="join these results files, and run nothing")
    parser.add_argument("--train", metavar="DATA", help="then train EDSR-baseline LM-LIIF on the pictures in DATA, "
                        "with the time that is left of the call")
    parser.add_argument("--train-total", type=float, metavar="MINUTES", help="of the whole training, over all calls; "
                        "default: of this call")
    parser.add_argument("--train-from", metavar="DIR", help="what an earlier call left, to go on from; default: --out")
    parser.add_argument("--spent", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--build-failed", metavar="WHY", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    foreign = set(chosen.only or ()) - {part.name for part in plan.parts_of(chosen.call)}
    if foreign:
        parser.error(f"call {chosen.call} has no part {', '.join(sorted(foreign))}: see --plan.")
    if chosen.train and not (chosen.call or chosen.train_total):
        parser.error("--train without --call needs --train-total: there is no other limit.")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
