"""The self-test of wgmma: one tile, right and made wrong on purpose, and what follows from it."""

import emulator
import pytest
import selfcheck_standins as standins
import torch
from every_backend import needs_gpu
from half_errors import DTYPES
from lmf_kernels.backends import cuda
from lmf_kernels.backends.cuda import native, warpgroups
from lmf_kernels.selfcheck import measure, process, run, verdicts
from lmf_kernels.selfcheck.verdicts import Item, Verdict
from selfcheck_setup import CPU, KEY, forget, item, kernels, render, who_ran  # noqa: F401  (a fixture)

GPU = torch.device("cuda", 0)
over_halves = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)


def emulated(dtype, mistake=""):
    """What `compare` says of the emulator's tile."""
    tile = emulator.load().group_tile
    return warpgroups.compare(lambda *addresses: tile(str(dtype).removeprefix("torch."), *addresses, mistake=mistake),
                              dtype, CPU)


@pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
@over_halves
def test_the_tile_is_right(dtype):
    assert emulated(dtype) is None


@pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
@over_halves
@pytest.mark.parametrize("mistake, first", [("steps", "row 0, column 0"), ("stride", "row 0, column 8")])
def test_a_wrong_descriptor_is_seen(dtype, mistake, first):
    assert f"elements of a tile are wrong, the first in {first}: " in emulated(dtype, mistake)


@over_halves
@pytest.mark.parametrize("index", [pytest.param(0, marks=needs_gpu)])
def test_the_tile_on_this_gpu(dtype, index):
    if not native.module.has_warpgroups(index):
        pytest.skip("needs compute capability 9.0")
    assert warpgroups.try_tile(index, dtype) is None


class Hopper:
    """A compiled module as on a GPU that has wgmma; its tile has `wrong` elements."""

    def __init__(self, wrong=0, has=True):
        self.wrong, self.has, self.tried = wrong, has, 0

    def has_warpgroups(self, index):
        return self.has

    def compare(self, multiply, dtype, device):
        self.tried += 1
        return f"{self.wrong} elements of a tile are wrong" if self.wrong else None


@pytest.fixture
def hopper(monkeypatch, tmp_path):
    """Make a Hopper the module of the CUDA backend; the cache folder is empty."""
    monkeypatch.setenv(verdicts.CACHE, str(tmp_path))
    monkeypatch.setattr(verdicts, "key", lambda device: KEY)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    forget()

    def start(module):
        monkeypatch.setattr(native, "module", module)
        monkeypatch.setattr(warpgroups, "compare", module.compare)
        monkeypatch.setattr(warpgroups, "_found", {})
        return module

    yield start
    forget()


def test_a_right_tile_is_tried_once_a_type(hopper):
    module = hopper(Hopper())
    for _ in range(2):
        for dtype in DTYPES.values():
            assert warpgroups.refusal(0, dtype) is None
    assert module.tried == 2


def test_a_wrong_tile_leaves_it_to_the_other_kernels(hopper, caplog):
    module = hopper(Hopper(wrong=3))
    for _ in range(2):
        assert warpgroups.refusal(0, torch.float16) == "3 elements of a tile are wrong"
    assert module.tried == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == ("lmf_kernels: kernels of 256-wide layers run by mma.sync, not wgmma, on GPU 0: 3 elements of a "
                    "tile are wrong")


def test_other_gpus_have_none(hopper):
    module = hopper(Hopper(has=False))
    assert "compute capability 9.0" in warpgroups.refusal(0, torch.float16) and module.tried == 0
    assert cuda.backend.self_tests(GPU) == {}


@pytest.mark.parametrize("good", [True, False])
def test_a_self_check_s_verdict_counts(hopper, good):
    """Also one on a tile that ended the process, which is not tried again."""
    module = hopper(Hopper(wrong=int(good)))
    verdicts.store_of(GPU).add([Verdict(warpgroups.item(torch.float16), good, "right" if good else "did not finish",
                                        "2030-05-01 13:45", {})])
    expected = None if good else "did not finish (self-check of 2030-05-01)"
    assert warpgroups.refusal(0, torch.float16) == expected and module.tried == 0


def test_none_is_tried_inside_a_capture(hopper, monkeypatch):
    module = hopper(Hopper())
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert "before the capture of a CUDA graph" in warpgroups.refusal(0, torch.float16) and module.tried == 0
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert warpgroups.refusal(0, torch.float16) is None and module.tried == 1


def test_the_self_check_judges_the_tile(hopper):
    hopper(Hopper(wrong=3))
    assert [found.dtype for found in measure.self_tests("cuda", GPU)] == ["float16", "bfloat16"]
    verdict = measure.judge(warpgroups.item(torch.bfloat16), GPU)
    assert not verdict.good and verdict.found == "3 elements of a tile are wrong"
    assert str(verdict.item) == "cuda, wgmma self-test, one tile, bfloat16"


@pytest.mark.parametrize("how, found", [
    ("abort", "ended the self-check's process with signal 6 (Aborted)"),
    *(pytest.param(*rest, marks=pytest.mark.slow) for rest in (
        ("right", "right"), ("wrong", "one element is wrong"), ("hang", "did not finish within 1 s")))])
def test_self_tests_come_first_and_harm_nobody(kernels, monkeypatch, how, found):  # noqa: F811
    """The kernels behind a self-test are judged all the same, in a process that knows what it found."""
    requests, converse = [], process.converse

    def recorded(module, request, *rest):
        requests.append(request)
        return converse(module, request, *rest)

    monkeypatch.setattr(process, "converse", recorded)
    monkeypatch.setattr(run, "SELF_TEST_SECONDS", 1)
    monkeypatch.setenv(standins.SELF_TEST, how)
    backends = kernels("fast")
    render()
    assert who_ran(backends) == ["fast"]
    at = standins.self_test_item("fast")
    assert requests[0]["required"] == [at, item("fast")]
    verdict = verdicts.store_of(CPU).known[at]
    assert (verdict.good, verdict.found) == (how == "right", found)
    if how in ("abort", "hang"):
        assert requests[1]["required"] == [item("fast")]
        (told,) = requests[1]["tested"]
        assert Item(**told["item"]) == at and told["found"] == found
