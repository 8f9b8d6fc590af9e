"""The benchmark of a machine with a GPU: `bench/device.sh` builds, tests, measures and prints, within eight minutes.

Nothing is measured unless its numbers are right, and a part that fails, hangs or crashes stops no other. `--dry-run`
runs the same program on the CPU with tiny sizes, so that a machine without a GPU can tell whether it works.
"""
