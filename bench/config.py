"""What a run is: threads, sizes, repeats. Read from the environment once, before anything is measured.

BENCH_THREADS=N   CPU threads; the default is torch's.
BENCH_QUICK=1     tiny sizes and two rounds: shows that the suite works, measures nothing, writes to bench/out.
BENCH_PEERS=full  the published way also at x12 of the whole LR picture: one round, about two minutes and 5 GB.
BENCH_OUT=DIR     where the results file goes, in place of bench/results (a complete run) or bench/out (any other).
"""

import os
import pathlib

import torch

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent
CHECKPOINTS = ROOT / "tests" / "golden"  # small, but trained: their modulations are realistic
PICTURE = ROOT / "tests" / "data" / "flowers.png"

QUICK = os.environ.get("BENCH_QUICK", "") not in ("", "0")
FULL_PEERS = os.environ.get("BENCH_PEERS", "") == "full"
THREADS = int(os.environ.get("BENCH_THREADS") or torch.get_num_threads())
OUT = os.environ.get("BENCH_OUT", "")

LR = (18, 32) if QUICK else (180, 320)  # height, width; x12 makes 3840x2160 of it
TILE = (48, 48)
SCALES = {"x2": 2, "x3.7": 3.7, "x4": 4, "x12": 12}

# Peers are slow. They get the whole picture where that takes seconds, and a part of it where it takes a minute. Those
# that work in chunks of a bounded size cost the same per pixel whatever the picture, so they get less of it.
PEER_LR = {"x2": LR, "x3.7": LR, "x4": LR, "x12": (LR[0] // 2, LR[1] // 2)}
CHUNKED_PEER_LR = {scale: (h // 2, w // 2) for scale, (h, w) in PEER_LR.items()}
PLAIN_LR = (12, 16) if QUICK else (60, 80)  # of LIIF and LTE, a hundred times the work per pixel; on both sides
SMALL_LR = (LR[0] // 4, LR[1] // 4)  # for the memory of peers

ROUNDS = (2, 2) if QUICK else (7, 30)  # of a kernel: at least, at most
PEER_ROUNDS = (1, 1) if QUICK else (3, 15)
SECONDS = 3.0  # a case's rounds stop near this, but for the least number of rounds
PEAK_SECONDS = 0.002 if QUICK else 0.02  # of multiply-adds in registers, before every round
