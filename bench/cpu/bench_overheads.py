"""What a call costs before any pixel: host time, the first call of a process, memory. And that bits never change."""

import statistics
import tempfile
from dataclasses import replace

import pytest
import torch

from lmf_kernels import _cpu, ops

from bench import cases, config, peers, results_file

CALLS, CALL_ROUNDS = (20, (2, 2)) if config.QUICK else (1000, (20, 20))
PROCESSES = 1 if config.QUICK else 5


def one_cell():
    """A 1x1 map of a real network: nothing but overhead is left."""
    return replace(cases.checkpoint_case("lmliif", "x4", lr=(1, 1)), size=(1, 1))


def test_call_of_operator(timed):
    case = one_cell()
    timed("call/operator", case.run, case.inputs, rounds=CALL_ROUNDS, iterations=CALLS, kind="call")


def test_call_of_kernel(timed):
    """The compiled function alone, its arguments ready."""
    case = one_cell()
    run = cases.kernel_alone(case, *case.inputs[0], torch.empty(1, 3, 1, 1))
    timed("call/kernel", run, ((),), rounds=CALL_ROUNDS, iterations=CALLS, kind="call")


def test_call_of_torch(timed):
    """The yardstick: one addition of torch's own."""
    x = torch.ones(3)
    timed("call/torch-add", lambda: x + 1, ((),), rounds=CALL_ROUNDS, iterations=CALLS, kind="call")


def test_first_call(results):
    """A fresh process from start to first and second picture of a tile."""
    found = [results_file.run_child("first_call.py", config.CHECKPOINTS / "lmliif.pth", config.TILE[0],
                                    config.THREADS) for _ in range(PROCESSES)]
    results.facts["first_call"] = {
        "processes": PROCESSES, "tile": config.TILE, "scale": 4,
        "seconds": {name: statistics.median(run[name] for run in found) for name in found[0]}}


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
def test_memory_of_kernel(results, name):
    case = cases.checkpoint_case(name, "x12")
    fields, skip = case.inputs[0]
    given = {"fields": fields, "weights": case.weights, **({} if skip is None else {"skip": skip})}
    results.facts[f"memory/cpu/{name}/x12"] = {
        "lr": case.lr, "size": case.size, **peak_memory("kernel", given, case.size, tuple(case.spec))}


@pytest.mark.parametrize("way", ["published", "reference"])
def test_memory_of_peer(results, way):
    lr = config.SMALL_LR
    size = cases.size_of(lr, "x12")
    if way == "published":
        inp, features, mods, coord, cell = peers.published_inputs("lmliif", lr, size)
        sd = {f"sd.{key}": value for key, value in cases.model("lmliif").state_dict().items()}
        given = {"features": features, "mods": mods, "coord": coord.contiguous(), "cell": cell.contiguous(), **sd}
    else:
        case = cases.checkpoint_case("lmliif", "x12", lr=lr)
        given = {"fields": case.inputs[0][0], "weights": case.weights}
    spec = tuple(cases.model("lmliif").render_spec)
    results.facts[f"memory/{way}/lmliif/x12"] = {"lr": lr, "size": size, **peak_memory(way, given, size, spec)}


@pytest.mark.parametrize("name", ["lmlte", "lmciaosr"])
def test_memory_of_a_whole_decoder(results, name):
    """Latent and render stage, the fields included: 320x180 at x4."""
    results.facts[f"decoder/{name}/x4"] = results_file.run_child(
        "decoder.py", config.CHECKPOINTS / f"{name}.pth", "320x180", 4, config.THREADS)


def peak_memory(way, given, size, spec):
    """What `children/memory.py` finds in a fresh process that holds nothing but the inputs."""
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"tensors": {key: value.clone() for key, value in given.items()}, "size": size, "spec": spec},
                   f"{folder}/inputs.pt")
        return results_file.run_child("memory.py", way, f"{folder}/inputs.pt", config.THREADS)


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
@pytest.mark.parametrize("isa", [isa for isa, usable in _cpu.isas().items() if usable])
def test_equal_bits(results, use_isa, isa, name):
    """One image, and the same image on another number of threads and in bands: no bit may differ."""
    use_isa(isa)
    case = cases.checkpoint_case(name, "x3.7")
    fields, skip = case.inputs[0]
    whole = case.run(fields, skip)
    threads = {}
    for count in (1, 2, config.THREADS):
        torch.set_num_threads(count)
        threads[count] = torch.equal(case.run(fields, skip), whole)
    torch.set_num_threads(config.THREADS)
    bands = torch.full_like(whole, torch.nan)
    height, width = case.size
    rows, cols = [0, 1, 8, height // 2 + 1, height], [0, width // 3, width - 5, width]
    for y0, y1 in zip(rows, rows[1:]):
        for x0, x1 in zip(cols, cols[1:]):
            bands[:, :, y0:y1, x0:x1] = ops.modulated_mlp(fields, case.weights, case.spec, case.size, skip=skip,
                                                          window=(y0, x0, y1 - y0, x1 - x0), backend="cpu")
    found = {"threads": all(threads.values()), "thread_counts": sorted(threads), "bands": torch.equal(bands, whole)}
    results.facts[f"equal_bits/{name}/{isa}"] = found
    assert found["threads"] and found["bands"], f"{name} on {isa}: bits differ, {found}"
