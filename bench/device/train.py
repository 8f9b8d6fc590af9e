"""Optional: trains the full EDSR-baseline LM-LIIF on the device for some minutes; run again, it goes on.

What it leaves in the output folder fits through a narrow door: the state that `--resume` needs, which is larger than
the weights, lies there in pieces.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import settings
from lmf_kernels.training.run_folder import LOG, STATE, WEIGHTS, RunFolder

PIECE = 12_000_000  # bytes


def train(job, minutes, total, data, out):
    """`lmf-kernels train DATA` for `minutes` of `total`, from the pieces in the folder `out` where there are some.

    facts["train"]. The learning rate reaches zero when `total` minutes are used, over all parts of the run.
    """
    out, work = Path(out), job.folder / "train"
    work.mkdir()
    out.mkdir(parents=True, exist_ok=True)
    join(out, work)
    size = ["--blocks", "1", "--features", "8", "--batch", "1"] if job.setting.dry else ["--blocks", "16", "--batch",
                                                                                        "16"]
    resume = ["--resume"] if RunFolder(work).started else []
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "lmf_kernels", "train", data, work, "--device",
                           job.setting.device.type, *size, "--minutes", str(total), "--pause-after", str(minutes),
                           *resume], cwd=settings.FOLDER)
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
