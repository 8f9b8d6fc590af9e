"""The benchmark of a machine with a GPU: `bench/device.sh` builds, tests, measures and prints.

Nothing is measured unless its numbers are right, and a part that fails, hangs or crashes stops no other. The parts make
three calls (`plan`), whose findings add up to one results file (`merging`). `--dry-run` runs the same program on the
CPU with tiny sizes, so that a machine without a GPU can tell whether it works.
"""
