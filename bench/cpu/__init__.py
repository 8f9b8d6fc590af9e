"""The benchmark of the CPU kernels, run by `pytest bench`. One results file per run."""
