"""The emulator itself: numbers as numpy and torch have them, and every rule of the device enforced."""

import math
from fractions import Fraction

import emulator
import numpy as np
import pytest
import torch

pytestmark = pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
over_halves = pytest.mark.parametrize("half, dtype", [("float16", torch.float16), ("bfloat16", torch.bfloat16)])


@pytest.fixture(scope="module")
def device():
    return emulator.load()


def halves(values, dtype):
    """The bits of a tensor of halves as uint32 numbers."""
    return values.to(dtype).view(torch.int16).numpy().astype(np.uint16).astype(np.uint32)


def tensor(bits, dtype):
    """Halves from their bits."""
    return torch.from_numpy(np.asarray(bits).astype(np.uint16).view(np.int16)).view(dtype)


def assert_same_halves(got, expected, dtype):
    """Bit for bit; any NaN is like another."""
    both = tensor(got, dtype).isnan() & expected.isnan()
    wrong = (np.asarray(got).astype(np.uint32) != halves(expected, dtype)) & ~both.numpy()
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} differ, first at {wrong.argmax()}"


def awkward_floats(count, seed):
    """Float32 bits: any, near the ties and the ends of both half types, and every special value."""
    draw = np.random.default_rng(seed)
    anything = draw.integers(0, 2**32, count, dtype=np.uint32)
    exponents = draw.integers(127 - 30, 127 + 20, count, dtype=np.uint32) << 23
    in_range = exponents | draw.integers(0, 2**23, count, dtype=np.uint32) | draw.integers(0, 2, count, np.uint32) << 31
    ties = [(in_range & np.uint32(2**32 - 2**bits)) | np.uint32(2**(bits - 1)) for bits in range(12, 18)]
    beside = [tie + np.uint32(step) for tie in ties for step in (1, 2**32 - 1)]
    special = np.array([0, 1, 0x7f800000, 0x7f800001, 0x7fc00000, 0x7f7fffff, 0x477fefff, 0x477ff000, 0x477fffff,
                        0x38800000, 0x387fffff, 0x33000000, 0x33000001, 0x32ffffff, 0x00007fff, 0x00008000,
                        0x00008001, 0x00018000, 0x7f7f7fff, 0x7f7f8000], dtype=np.uint32)
    return np.concatenate([anything, in_range, *ties, *beside, special, special | np.uint32(2**31)])


@over_halves
def test_every_half_is_widened(device, half, dtype):
    bits = np.arange(2**16, dtype=np.uint32)
    expected = tensor(bits, dtype).float()
    for operation, words in (("widen_low", bits | 0xabcd0000), ("widen_high", bits << 16 | 0x1234)):
        got = torch.from_numpy(device.elementwise(operation, half, words, words, words).view(np.float32))
        assert torch.equal(got.isnan(), expected.isnan())
        keep = ~expected.isnan()
        assert torch.equal(got[keep].view(torch.int32), expected[keep].view(torch.int32))


@over_halves
def test_rounding_is_torchs(device, half, dtype, seed):
    bits = awkward_floats(20000, seed)
    floats = torch.from_numpy(bits.view(np.float32))
    packed = device.elementwise("pack", half, bits, bits[::-1].copy(), bits)
    assert_same_halves(packed & 0xffff, floats.to(dtype), dtype)
    assert_same_halves(packed >> 16, floats.flip(0).to(dtype), dtype)
    packed = device.elementwise("pack_relu", half, bits, bits[::-1].copy(), bits)
    assert_same_halves(packed & 0xffff, torch.where(floats <= 0, 0.0, floats).to(dtype), dtype)
    assert_same_halves(packed >> 16, torch.where(floats <= 0, 0.0, floats).flip(0).to(dtype), dtype)


@over_halves
@pytest.mark.parametrize("operation", ["fma_pair", "fma_relu_pair"])
def test_multiply_adds_are_rounded_once(device, half, dtype, operation, seed):
    """a * b + c, in float64 and rounded to float16 once by numpy. bfloat16: by distance."""
    draw = np.random.default_rng(seed)
    a, b, c = draw.integers(0, 2**32, (3, 50000), dtype=np.uint32)
    c[::2] = a[::2]  # terms of about the same size
    got = device.elementwise(operation, half, a, b, c)
    for shift in (0, 16):
        x, y, z = (tensor(words >> shift & 0xffff, dtype).double() for words in (a, b, c))
        exact = x * y + z
        whole = (exact - x * y == z) & (exact - z == x * y)  # the sum lost nothing, and ties are ties
        if operation == "fma_relu_pair":
            exact = torch.where(exact <= 0, 0.0, exact)
        ours = tensor(got >> shift & 0xffff, dtype)
        if dtype == torch.float16:
            with np.errstate(over="ignore", invalid="ignore"):
                assert_same_halves(got >> shift & 0xffff, torch.from_numpy(exact.numpy().astype(np.float16)), dtype)
            continue
        assert torch.equal(ours.isnan(), exact.isnan())
        keep = ours.isfinite() & (exact.abs() < 3e38) & whole
        assert keep.sum() > 1000
        ours, exact = ours[keep], exact[keep]
        miss = (ours.double() - exact).abs()
        for direction in (float("inf"), -float("inf")):
            neighbour = torch.nextafter(ours, torch.tensor(direction, dtype=dtype)).double()
            further = (neighbour - exact).abs()
            even = (ours.view(torch.int16) & 1) == 0
            assert ((miss < further) | ((miss == further) & even)).all()


def fragments(matrix, rows, columns):
    """A lane's registers of a matrix of halves' bits: pairs along the second of `columns` (A) or of `rows` (B)."""
    return np.stack([(matrix[r, c] | matrix[r2, c2] << 16) for (r, c), (r2, c2) in zip(rows, columns)], 1)


@over_halves
@pytest.mark.parametrize("size", [1, 1e4])
def test_matrix_product(device, half, dtype, size, seed):
    """Through the layout of the PTX manual, written down here once more."""
    torch.manual_seed(seed)
    a, b, c = torch.randn(16, 16).to(dtype), (torch.randn(16, 8) * size).to(dtype), torch.randn(16, 8) * size
    lane = np.arange(32)
    g, t = lane // 4, lane % 4
    low = [(g, 2 * t), (g + 8, 2 * t), (g, 2 * t + 8), (g + 8, 2 * t + 8)]
    of_a = fragments(halves(a, dtype), low, [(r, k + 1) for r, k in low])
    low = [(2 * t, g), (2 * t + 8, g)]
    of_b = fragments(halves(b, dtype), low, [(k + 1, n) for k, n in low])
    places = [(g, 2 * t), (g, 2 * t + 1), (g + 8, 2 * t), (g + 8, 2 * t + 1)]
    of_c = np.stack([c.numpy()[place] for place in places], 1)
    of_d = device.mma(half, of_a, of_b, of_c)
    d = np.full((16, 8), np.nan, np.float32)
    for i, place in enumerate(places):
        d[place] = of_d[:, i]
    exact = a.double().numpy() @ b.double().numpy() + c.double().numpy()
    spread = np.abs(a.double().numpy()) @ np.abs(b.double().numpy()) + np.abs(c.double().numpy())
    assert (np.abs(d - exact) <= 1e-7 * spread).all()


@pytest.mark.parametrize("size", [1e-4, 1, 1e3])
def test_matrix_product_with_float16_sums(device, size, seed):
    """Each sum is that of float32 sums, which are exact enough here, rounded to float16 once."""
    torch.manual_seed(seed)
    of_a, of_b = (torch.randn(32, 2 * n, dtype=torch.float64) * scale for n, scale in ((4, 1), (2, size)))
    of_a, of_b = (halves(m, torch.float16) for m in (of_a, of_b))
    of_a, of_b = (m[:, ::2] | m[:, 1::2] << 16 for m in (of_a, of_b))
    wide = torch.from_numpy(device.mma("float16", of_a, of_b, np.zeros((32, 4), np.float32)))
    got = device.mma_half(of_a, of_b)
    got = tensor(np.stack([got & 0xffff, got >> 16], 2).reshape(32, 4), torch.float16)
    # Rounding to float32 first can move a tie, by one unit in the last place of a float16.
    assert (got == wide.half()).double().mean() > 0.99
    assert ((got.double() - wide.double()).abs() <= wide.double().abs() * 2**-11 + 2**-25).all()


def test_shuffle(device, seed):
    draw = np.random.default_rng(seed)
    values, sources = draw.random(32, dtype=np.float32), draw.integers(0, 32, 32, dtype=np.int32)
    assert (device.shuffle(values, sources) == values[sources]).all()


def test_bytes_round_half_to_even(device, seed):
    values = torch.cat([torch.rand(2000) * 255, torch.arange(255) + 0.5, torch.arange(256.0)])
    assert [device.round_to_byte(value) for value in values.tolist()] == values.round().int().tolist()
    assert device.round_to_byte(float("nan")) == 0


MISUSES = {
    "nothing wrong": None,
    "a lane ends early": "lanes 0 to 6: waiting for shuffle at misuse.cpp:.*; lane 7: ended; lanes 8 to 31: waiting",
    "two operations at once":
        "lanes 0 to 15: waiting for mma<F16> at .*; lanes 16 to 31: waiting for shuffle at misuse",
    "one operation in two places":
        "lanes 0 to 3: waiting for shuffle at misuse.cpp:.*; lanes 4 to 31: waiting for shuffle",
    "a warp misses the barrier":
        "its warps diverged: warp 0: waiting for block_barrier at misuse.cpp:.*; warp 1: ended",
    "a source lane of 32": "block 0, warp 0: lane 31 shuffles from lane 32",
    "a load past the end": "warp 0, lane 0: global load of 4 bytes at 0x.* lies outside the elements of in ",
    "a load between the rows": "global load of 4 bytes at 0x.* lies outside the elements of in ",
    "a load across a row's end": "lane 4: global load of 16 bytes at 0x.* lies outside",
    "a misaligned load": "global load of 8 bytes at 0x.*: the address is not a multiple of the size",
    "a load of the output": "global load of 4 bytes at 0x.* lies outside the elements of in ",
    "a store to an input": "global store of 4 bytes at 0x.* lies outside the elements of out ",
    "a store past the end": "warp 1, lane 31: global store of 4 bytes at 0x.* lies outside the elements of out",
    "two stores to one place": "warp 0, lane 1: a second store to 0x.* in out",
    "a store left out": "4 bytes of out were never written",
    "shared memory never written": "lane 3: shared load of 4 bytes at offset 12: nothing was written there",
    "shared memory past the end": "lane 24: shared store of 4 bytes at offset 1024 lies outside the block's 1024",
    "misaligned shared memory": "shared store of 8 bytes at offset 4: the offset is not a multiple of the size",
    "a shared load without a barrier": "lane 1: shared load of 4 bytes at offset 0: thread 0 wrote it since the last",
    "two shared stores without a barrier": "lane 1: shared store of 4 bytes at offset 0: thread 0 wrote it since",
    "a shared store after another's load": "warp 1, lane 8: shared store of 4 bytes at offset 0: other threads read it",
    "copies that are waited for": None,
    "a load before the copy arrived":
        "warp 0, lane 0: shared load of 4 bytes at offset 0: a copy by thread 0 to it has not",
    "a copy read without a barrier": "lane 1: shared load of 4 bytes at offset 0: thread 0 wrote it since the last",
    "a store before the copy arrived":
        "lane 0: shared store of 4 bytes at offset 0: a copy by thread 0 to it has not",
    "a copy over what another reads": "warp 1, lane 8: shared store of 16 bytes at offset 0: other threads read it",
    "a wait for too few groups": "lane 0: shared load of 4 bytes at offset 0: a copy by thread 0 to it has not arrived",
    "a copy outside the input": "lane 0: global load of 16 bytes at 0x.* lies outside the elements of in ",
    "copies left on their way": "lane 0: it ends before its copies have arrived",
    "a pipeline": None,
    "a stage read before it is full":
        "warp 1, lane 0: shared load of 4 bytes at offset 0: a copy by thread 0 to it has",
    "a stage filled before it is empty":
        "shared (store of 16 bytes at offset .*: other threads read it|load of 4 .*: a copy by thread 0 to it has not)",
    "a stage that is never released":
        "no warp can go on: warp 0: waiting for barrier_wait at misuse.cpp:.*; warp 1: waiting for barrier_wait",
    "more bytes announced than copied": "no warp can go on: warp 0: .*; warp 1: waiting for barrier_wait at misuse",
    "fewer bytes announced than copied": "no warp can go on: warp 0: .*; warp 1: waiting for barrier_wait at misuse",
    "more arrivals expected than come":
        "no warp can go on: warp 0: waiting for barrier_wait at misuse.cpp:.*; warp 1: waiting for barrier_wait",
    "a bulk copy outside the input": "global load of 16 bytes at 0x.* lies outside the elements of in ",
    "more arrivals than expected": "warp 0: the barrier at offset 0 has had its 1 arrivals of phase 0",
    "a barrier used before it is there":
        "warp 1: shared load of 8 bytes at offset 0: thread 0 wrote it since the last",
    "lanes at different barriers": "warp 0: lane 1 uses another barrier or parity than lane 0 at misuse.cpp",
    "a bulk copy left on its way": "block 0: it ends before 1 bulk copies have arrived",
    "lanes without a barrier of their warp":
        "warp 0, lane 1: shared load of 4 bytes at offset 0: thread 0 wrote it since the last barrier",
    "lanes with a barrier of their warp": None,
    "a barrier of the warp for another warp":
        "warp 1, lane 0: shared load of 4 bytes at offset 0: thread 0 wrote it since the last barrier",
    "a product of a warpgroup": None,
    "a product without a fence": "warp 0: group_mma without a group_fence since the registers were last used",
    "sums touched before the wait": "warp 0: lane 0 touched the sums of a product on its way",
    "an operand changed before the wait": "warp 0: lane 0 changed the A operand of a product on its way",
    "a matrix written before the wait":
        "warp 0, lane 5: shared store of 4 bytes at offset 0: .* read it since the last",
    "a product without a wait": "block 0: it ends before its matrix products have been waited for",
    "another swizzle": "warp 0: a matrix descriptor with swizzling mode 1",
    "a lane with another descriptor": "warp 0: lane 9 has another descriptor than lane 0",
    "a warpgroup without one of its warps":
        "no warp can go on: warp 0: waiting for group_fence at misuse.cpp:.*; warp 1: ended; warps 2 to 3: waiting",
    "a byte above 255": "warp 0, lane 1: round_to_byte of 256",
    "a foreign exception": "lane 0: an exception that is not a std::exception",
}


def test_every_misuse_is_listed(device):
    assert sorted(MISUSES) == device.misuses()


@pytest.mark.parametrize("name, sentence", MISUSES.items(), ids=MISUSES)
def test_misuse_is_an_error_and_leaves_no_trace(device, name, sentence):
    if sentence is None:
        device.misuse(name)
    else:
        with pytest.raises(RuntimeError, match=sentence):
            device.misuse(name)
    device.misuse("nothing wrong")


def exact_place(n_in, n_out, pos):
    """(k0, f) of an output position, exact."""
    u = Fraction((2 * pos + 1) * n_in - n_out, 2 * n_out)
    return math.floor(u), u - math.floor(u)


def test_places_of_the_kernel_by_columns(device, seed):
    """Cell and place of columns, and the chunks of rows, in small and in the largest pictures that it takes."""
    draw = np.random.default_rng(seed)
    sizes = [(1, 2), (1, 30), (3, 5), (7, 14), (5, 61), (180, 2160), (7, 23),
             (16000, 33000), (1, 2**15), (2**12, 2**16)]
    for n_in, n_out in sizes + [(n, int(n * draw.uniform(1.01, 33))) for n in draw.integers(2, 3000, 10).tolist()]:
        few = n_out <= 100
        positions = range(n_out) if few else [0, 1, n_out // 2, n_out - 1, *draw.integers(0, n_out, 30).tolist()]
        firsts = set()
        for pos in positions:
            k0, f, row_k0, first, first_f = device.place_among_cells(n_in, n_out, pos)
            expected_k0, expected_f = exact_place(n_in, n_out, pos)
            assert (k0, row_k0) == (expected_k0, expected_k0), (n_in, n_out, pos)
            assert abs(f - expected_f) <= 2e-7
            assert pos - 12 < first <= pos
            assert exact_place(n_in, n_out, first)[0] == k0 and abs(first_f - exact_place(n_in, n_out, first)[1]) < 2e-7
            firsts.add((k0, first))
        if few:  # chunks are as few as there can be
            pairs = [exact_place(n_in, n_out, pos)[0] for pos in positions]
            assert len(firsts) == sum(-(-pairs.count(k) // 12) for k in set(pairs)) or n_out > 12 * n_in
