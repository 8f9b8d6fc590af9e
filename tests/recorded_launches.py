"""What the tests of the Triton kernels make a GPU compile, found without a GPU.

    LMF_TEST_TRITON_RECORD=FOLDER pytest tests -m gpu -k triton

writes a line {"test", "kernel", "key", "depth", "compile"} to a file of its own in FOLDER for each specialisation of a
kernel that a test launches; "depth" is larger where compiling takes longer, "compile" is for JITFunction.preload. Tests
marked `gpu` then run on the CPU: a launch goes through Triton's own binder, for the GPU that
LMF_TEST_TRITON_ARCHITECTURE names (default: sm_90), up to the point where it would compile; the numbers come from the
CPU kernel. So tests pass or fail as with right kernels, except where CUDA itself is tested. tests/warm_triton.py
compiles what was found, side by side.
"""

import json
import os
import pathlib
from contextlib import nullcontext

import torch
from lmf_kernels.backends import cpu, reference
from lmf_kernels.backends.native_call import refuse_common

FOLDER = os.environ.get("LMF_TEST_TRITON_RECORD")
ARCHITECTURE = os.environ.get("LMF_TEST_TRITON_ARCHITECTURE", "sm_90")
FLOATING = ("fields", "weights", "skip")
DEPTHS = ("DEPTH", "BLOCKS")  # constants by which the time to compile a kernel grows
_noted = set()


def record():
    """From here on launches of the Triton backend are recorded, and computed by the CPU backend."""
    from lmf_kernels.backends.triton import availability, backend, modulated_backward
    from offline_triton import Offline, target_of
    from triton import knobs
    from triton.runtime import driver

    driver.set_active(Offline(target_of(ARCHITECTURE)))
    knobs.runtime.jit_cache_hook = note
    availability.status = lambda: (True, "recording")
    availability.architecture = lambda device: ARCHITECTURE
    for family, face in backend.kernels.items():
        record_launches(face, cpu.backend.kernels[family])
    gradients, cpu_kernel = modulated_backward.gradients, cpu.backend.kernels["modulated_mlp"]

    def differentiated(call, grad, wanted):
        gradients(call, grad, wanted)
        found = cpu_kernel.gradients(in_float32(call)._replace(epilogue="none"), grad.float().contiguous(), wanted)
        return [made.to(getattr(call, name).dtype) for name, made in zip(wanted, found)]

    modulated_backward.gradients = differentiated
    for name in ("synchronize", "reset_peak_memory_stats", "set_sync_debug_mode", "Stream"):
        setattr(torch.cuda, name, lambda *given: None)
    torch.cuda.memory_allocated = torch.cuda.max_memory_allocated = lambda: 0
    torch.cuda.stream = nullcontext


def record_launches(
    face,  # the module of a family's kernel
    cpu_kernel,  # that of the CPU backend
):
    """Let the kernel take tensors on the CPU, note what it launches, and compute that on the CPU."""
    launch = face.launch

    def computed(call, out, configuration):
        launch(call, out, configuration)
        plain = in_float32(call)
        kernel = cpu_kernel if cpu_kernel.can_run(plain) is None else reference.backend
        out.copy_(kernel.run(plain))

    face.can_run = lambda call: refuse_common(call, halves=True) or face.refuse_shape(call.spec)
    face.launch = computed


def in_float32(call):
    """The call with the same numbers as float32, and float32 out where halves were asked for."""
    tensors = {name: tensor.float() for name in FLOATING if (tensor := getattr(call, name)) is not None}
    return call._replace(**tensors, dtype=call.dtype if call.dtype == torch.uint8 else torch.float32)


def note(*, key, fn, compile, **_):
    """Triton's hook before it compiles: a line of the file, and nothing is compiled or launched."""
    entry = {"test": os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0],
             "kernel": fn.name.rpartition(".")[2], "key": key}
    if tuple(entry.values()) not in _noted:
        _noted.add(tuple(entry.values()))
        names = fn.jit_function.arg_names
        entry["depth"] = sum(compile["constants"][names.index(name),] for name in DEPTHS if name in names)
        with open(pathlib.Path(FOLDER) / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({**entry, "compile": compile["specialization_data"]}) + "\n")
    return True


def recorded(folder):
    """(entries, one a specialisation; the names of the tests) of a folder."""
    lines = [json.loads(line) for path in pathlib.Path(folder).glob("*.jsonl")
             for line in path.read_text(encoding="utf-8").splitlines()]
    return list({(line["kernel"], line["key"]): line for line in lines}.values()), {line["test"] for line in lines}
