"""Runs the parts, one process each, and writes the results file. Started by bench/device.sh, from bench/:

    python -m device [--dry-run] [--out DIR] [--only PART ...] [--minutes N] [--train MINUTES DATA]
"""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time
from functools import partial

import settings
import tables

from . import counters, gradients, overheads, part, pipeline, rates, render_stage, report, train, trials
from .setting import Setting

# Name, what runs, the most seconds that it may take. In the order of their worth: time may run out.
PARTS = (
    ("card", report.card, 30), ("tests", trials.tests, 90), ("rates", rates.rates, 30),
    ("render", render_stage.render, 120), ("overheads", overheads.overheads, 60), ("pipeline", pipeline.pipeline, 50),
    ("gradients", gradients.gradients, 40), ("triton-tests", trials.triton_tests, 150),
    ("compiled", render_stage.compiled, 100), ("sanitizer", trials.sanitizer, 75), ("ncu", counters.counters, 60),
)
LEAST = 10  # seconds: with less left, a part is not begun
LARGEST_LOG = 15_000_000  # bytes


def main():
    chosen = arguments()
    setting = Setting(dry=chosen.dry_run)
    found = report.Report(setting, report.now())
    if chosen.build_failed:
        found.lost("build", chosen.build_failed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        log = folder / "log.txt"
        run_all(planned(chosen), setting, folder, log, found, 60 * chosen.minutes)
        stored = found.finish()
        out = pathlib.Path(chosen.out or settings.FOLDER / ("results" if stored["complete"] else "out"))
        out.mkdir(parents=True, exist_ok=True)
        path = report.write(stored, out)
        for name in ("log.txt", "ncu.txt"):
            if (folder / name).exists():
                keep(folder / name, path.with_name(f"{path.stem}-{name}"))
        if found.failures:
            print(f"---- the end of the log\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}\n----")
    print(tables.everything(tables.Run(stored, path.name)))
    for warning in stored["warnings"]:
        print(f"warning: {warning}")
    for failure in found.failures:
        print(f"failure: {failure}")
    print(f"written: {path}")
    return 1 if found.failures else 0


def run_all(parts, setting, folder, log, found, seconds):
    """Run the parts in turn into the report `found`; none of them begins when `seconds` are over."""
    until = time.monotonic() + seconds
    for name, work, most in parts:
        left = until - time.monotonic()
        if left < min(LEAST, most) and name != "train":
            found.lost(name, "no time was left to begin it")
            continue
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"======== {name}\n")
        print(f"{name} ...", flush=True)
        started = time.monotonic()
        job = part.Job(name, setting, folder, most if name == "train" else min(most, left))
        reason = part.run(work, job, log)
        found.take(job, reason, time.monotonic() - started)


def planned(chosen):
    """The parts that were asked for: (name, work, seconds)."""
    parts = [entry for entry in PARTS if chosen.only is None or entry[0] in (*chosen.only, "card")]
    if chosen.train:
        minutes, data = float(chosen.train[0]), str(pathlib.Path(chosen.train[1]).resolve())
        total = chosen.train_total or minutes
        folder = pathlib.Path(chosen.train_out or chosen.out or settings.FOLDER / "out" / "train").resolve()
        work = partial(train.train, minutes=minutes, total=total, data=data, out=folder)
        parts.append(("train", work, 60 * minutes + 120))
    return parts


def keep(source, target):
    """Copy a text file, its end where it is too long."""
    if source.stat().st_size > LARGEST_LOG:
        with open(source, "rb") as file:
            file.seek(-LARGEST_LOG, 2)
            target.write_bytes(file.read())
    else:
        shutil.copyfile(source, target)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/device.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, tiny sizes: does the program work?")
    parser.add_argument("--out", metavar="DIR", help="where the results go; default: bench/results for a complete run, "
                        "bench/out for any other")
    parser.add_argument("--only", metavar="PART", nargs="*", choices=[name for name, *_ in PARTS],
                        help=f"some of {', '.join(name for name, *_ in PARTS)}; none: --only with nothing behind it")
    parser.add_argument("--minutes", type=float, default=6.5, metavar="N", help="for all parts but training")
    parser.add_argument("--train", nargs=2, metavar=("MINUTES", "DATA"),
                        help="then train EDSR-baseline LM-LIIF on the pictures in DATA")
    parser.add_argument("--train-total", type=float, metavar="N", help="minutes of the whole run; default: MINUTES")
    parser.add_argument("--train-out", metavar="DIR", help="where it goes on and leaves its files; default: --out")
    parser.add_argument("--build-failed", metavar="WHY", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
