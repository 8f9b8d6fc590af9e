"""Run in a fresh process: the peak memory of one render beyond its inputs and output. WAY FILE THREADS; prints JSON.

The process loads the inputs (they are resident: every page was written), makes one tiny call so that libraries and
thread pools are up, and then asks the system to forget the peak so far. `beyond` is the peak resident size during the
call, minus the resident size before it, minus the output. It is read from /proc/self/status (VmHWM, this address space
alone): `ru_maxrss` would start from the size of the process that started this one.
"""

import json
import sys

import torch

import python_ref
from lmf_kernels import RenderSpec, ops
from python_ref import Options


def resident(line):
    """Bytes that a line of /proc/self/status names."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(text.split()[1]) for text in file if text.startswith(line + ":")) * 1024


def forget_peak():
    """Set the peak to what is resident now; False where the system does not let us."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return True
    except OSError:
        return False


def make(way, given, size, spec):
    """The render as a function of how many of the output's rows or queries to make."""
    if way == "published":
        sd = {key[3:]: value for key, value in given.items() if key.startswith("sd.")}
        return lambda count: python_ref.lmliif.render_published(
            given["features"], given["mods"], sd, given["coord"][:, :count], given["cell"][:, :count], Options())
    backend = "cpu" if way == "kernel" else way
    return lambda count: ops.modulated_mlp(
        given["fields"], given["weights"], spec, size, skip=given.get("skip"), backend=backend,
        window=None if count is None else (0, 0, count, size[1]))


def main():
    way, path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(threads)
    stored = torch.load(path, weights_only=True)
    given, size = stored["tensors"], tuple(stored["size"])
    head, in_dim, widths, ensemble, out_dim = stored["spec"]
    render = make(way, given, size, RenderSpec(head, in_dim, tuple(widths), ensemble, out_dim))
    with torch.no_grad():
        render(4)
        inputs = sum(value.untyped_storage().nbytes() for value in given.values())
        reset = forget_peak()
        before, peak_before = resident("VmRSS"), resident("VmHWM")
        out = render(None)
        peak = resident("VmHWM")
    output = out.numel() * out.element_size()
    known = reset or peak > peak_before  # else an earlier, larger peak hides this one
    print(json.dumps({
        "inputs_bytes": inputs, "output_bytes": output, "beyond_bytes": peak - before - output if known else None,
        "beyond_bytes_per_pixel": (peak - before - output) / (out.numel() / 3) if known else None}))


if __name__ == "__main__":
    main()
