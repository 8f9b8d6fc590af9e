"""How OpenMP's threads wait: settled before torch is loaded, made brief afterwards, never against a user's setting."""

import os
import subprocess
import sys

import pytest

from lmf_kernels import threads

# A small parallel region, then a pause, again and again: threads that spin use processor time in the pauses.
PAUSES = """
import resource, sys, time
import torch
torch.set_num_threads(2)
import lmf_kernels as lmf
lmf.load_model(lmf.built_in.default())
x = torch.ones(1 << 17)
for _ in range(20):
    x.add_(1)
start = resource.getrusage(resource.RUSAGE_SELF)
for _ in range(300):
    x.add_(1)
    time.sleep(0.003)
end = resource.getrusage(resource.RUSAGE_SELF)
print(end.ru_utime - start.ru_utime)
"""


def processor_time(**settings):
    """Seconds of processor time that 300 short parallel regions with pauses take in a fresh process."""
    environment = {name: value for name, value in os.environ.items() if name not in threads.SETTINGS} | settings
    done = subprocess.run([sys.executable, "-c", PAUSES], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_a_library_loaded_after_torch_does_not_spin_while_it_waits():
    if threads._processors() != 2 or not threads._loaded_runtimes():
        pytest.skip("needs two processors and libgomp")
    ours, spinning = processor_time(), processor_time(GOMP_SPINCOUNT="300000")  # the latter is libgomp's own default
    assert ours < spinning / 2, (ours, spinning)
    assert processor_time(OMP_WAIT_POLICY="active") > 2 * ours, "a user's own setting counts"


def test_the_program_settles_it_before_torch_is_loaded():
    script = ("import sys, os; sys.argv[0] = 'lmf-kernels'; from lmf_kernels.cli import main; main(['info']); "
              "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)")
    for given, settled in ({}, "passive True"), ({"OMP_WAIT_POLICY": "active"}, "active True"):
        environment = {name: value for name, value in os.environ.items() if name not in threads.SETTINGS} | given
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == settled, done.stderr


def test_what_is_left_alone(monkeypatch):
    monkeypatch.setattr(threads, "_settled", False)
    monkeypatch.setattr(threads, "_processors", lambda: 4)
    monkeypatch.setattr(threads, "_loaded_runtimes", lambda: ["libgomp.so.1"])
    started = []
    monkeypatch.setattr(threads, "_keep_asleep", lambda path, count: started.append((path, count)))
    for name in threads.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    threads.wait_passively()  # torch is loaded: it would change nothing here, and other things in child processes
    assert "OMP_WAIT_POLICY" not in os.environ
    threads.spin_briefly(1)
    assert started == []
    threads.spin_briefly(4)
    threads.spin_briefly(4)
    assert started == [("libgomp.so.1", 2)], "once per process, one thread more than there are processors"
    monkeypatch.setattr(threads, "_settled", False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "9")
    threads.spin_briefly(4)
    assert len(started) == 1
