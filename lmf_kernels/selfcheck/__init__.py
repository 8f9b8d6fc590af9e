"""Which GPU kernels `backend="auto"` may use on the user's own GPU, found by running them there once.

lookup.py  what `auto` asks: a verdict from the cache folder, or a check at first need
run.py     the parent's side of a check: one at a time, in bounded time, what a crash or a hang means
process.py starts the child process and listens to it
child.py   the program of the child process, where the kernels are compiled and first used
measure.py errors against the float64 reference, times against what would run without the kernel
cases.py   what is rendered
report.py  a table of everything, for `lmf-kernels selfcheck`
verdicts.py  the verdicts, and the file that keeps them

Nothing but lookup.py and verdicts.py is imported before a check starts.
"""
