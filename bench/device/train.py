"""Optional: trains the full EDSR-baseline LM-LIIF on the device with the time that is left; run again, it goes on.

A machine may let only small files out, so the state that `--resume` needs, which is larger than the weights, is left in
pieces.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench import config
from lmf_kernels.training.run_folder import LOG, STATE, WEIGHTS, RunFolder

PIECE = 14_000_000  # bytes
ENDING = 30  # seconds, to start, to write the state and to copy it


def train(job):
    """`lmf-kernels train DATA`, from the pieces in --train-from where there are some; it leaves its own in --out.

    facts["train"]. The learning rate reaches zero when --train-total minutes are used, over all calls.
    """
    options, work = job.options, job.folder / "train"
    minutes = max(job.left() - ENDING, 1) / 60 if not job.run_config.dry else 0.05
    minutes = min(minutes, options.train_total or minutes)
    out = Path(options.out or config.FOLDER / "out" / "train")
    work.mkdir()
    out.mkdir(parents=True, exist_ok=True)
    join(Path(options.train_from or out), work)
    size = ["--blocks", "1", "--features", "8", "--batch", "1"] if job.run_config.dry else ["--blocks", "16", "--batch",
                                                                                        "16"]
    resume = ["--resume"] if RunFolder(work).started else []
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "lmf_kernels", "train", options.train, work, "--device",
                           job.run_config.device.type, *size, "--minutes", str(options.train_total or minutes),
                           "--pause-after", str(minutes), *resume], cwd=config.FOLDER)
    spent = (time.monotonic() - started) / 60
    kept = split(work, out)
    job.fact("train", {"minutes": spent, "resumed": bool(resume), "status": done.returncode, "files": kept})
    if done.returncode != 0:
        job.fail(f"training ended with status {done.returncode}")


def join(
    pieces,  # folder with what `split` left
    work,  # empty folder
):
    """Put a run's folder together again; without pieces it stays empty."""
    for name in (WEIGHTS, LOG):
        if (pieces / name).exists():
            shutil.copy2(pieces / name, work / name)
    parts = sorted(pieces.glob(f"{STATE}.[0-9]*"))
    if parts:
        (work / STATE).write_bytes(b"".join(part.read_bytes() for part in parts))


def split(work, pieces):
    """Copy a run's folder, its state in pieces; the files' names."""
    for old in pieces.glob(f"{STATE}.[0-9]*"):
        old.unlink()
    kept = [name for name in (WEIGHTS, LOG) if (work / name).exists()]
    for name in kept:
        shutil.copy2(work / name, pieces / name)
    state = (work / STATE).read_bytes() if (work / STATE).exists() else b""
    for k, start in enumerate(range(0, len(state), PIECE)):
        (pieces / f"{STATE}.{k:02}").write_bytes(state[start:start + PIECE])
        kept.append(f"{STATE}.{k:02}")
    return kept
