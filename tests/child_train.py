"""One of several processes that torchrun starts: trains the tiny model on a CPU. Arguments: DATA OUT STEPS."""

import sys

import training_pieces

from lmf_kernels.training import distributed

data, out, steps = sys.argv[1:]
with distributed.team("cpu") as team:
    training_pieces.run(data, out, int(steps), team=team)
