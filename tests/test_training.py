"""Runs of training: they learn, stop in time, go on exactly, and survive whatever ends them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import training_pieces as pieces

from lmf_kernels import InputError, load_model, upscale
from lmf_kernels.checkpoints import read_metadata
from lmf_kernels.cli import main
from lmf_kernels.training import Recipe
from lmf_kernels.training.run import TrainingFailed


@pytest.fixture
def data(tmp_path, seed):
    return pieces.make_pictures(tmp_path / "pictures", seed)


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_learns_and_its_weights_load(data, tmp_path, seed):
    (data / "LICENSES.tsv").write_text("".join(f"some_{i}.png\tCC0 1.0\t48x40\n" for i in range(4)))
    out = tmp_path / "out"
    outcome = pieces.run(data, out, 600, licence="Apache-2.0", recipe={"seed": seed % 1000})
    assert outcome.finished and outcome.signal is None and outcome.step == 600
    losses = [line["loss"] for line in log_of(out) if "loss" in line]
    assert len(losses) == 60 and losses[-1] < 0.6 * losses[0]
    model = load_model(out / "weights.safetensors")
    assert upscale(model, torch.rand(1, 3, 9, 7), 2.3).shape == (1, 3, 20, 16)
    told = read_metadata(out / "weights.safetensors")
    assert told["license"] == "Apache-2.0" and told["seed"] == seed % 1000 and "CPU core" in told["machine"]
    assert told["training"]["steps"] == 600 and told["training"]["final_loss"] == losses[-1]
    assert told["recipe"] == Recipe(**{**pieces.RECIPE, "seed": seed % 1000}).as_dict()
    assert {"series": "some", "licence": "CC0 1.0", "pictures": 4} in told["training_data"]["sources"]


def test_the_rate_follows_the_time_used_not_the_steps(data, tmp_path):
    times = iter([0.0, *(t for step in range(1, 99) for t in [step * 7.5 + step % 3])])
    pieces.run(data, tmp_path / "out", 300, clock=times.__next__)
    state, lines = pieces.state_of(tmp_path / "out"), log_of(tmp_path / "out")
    recipe = Recipe(**pieces.RECIPE)
    assert state["used"] >= 300 and 38 <= state["step"] <= 41
    for before, line in zip(lines, lines[1:]):
        used = (line["step"] - 1) * 7.5 + (line["step"] - 1) % 3  # what was used when the step began
        assert line["lr"] == pytest.approx(recipe.learning_rate(used / 300))
        assert before["minutes"] < line["minutes"]


def test_the_rate_rises_and_falls():
    recipe = Recipe(lr=1e-3, warm_up=0.1)
    rates = [recipe.learning_rate(i / 1000) for i in range(1001)]
    assert rates[0] == 0 and rates[100] == pytest.approx(1e-3) and rates[1000] == pytest.approx(0, abs=1e-12)
    assert rates[:101] == sorted(rates[:101]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert recipe.learning_rate(1.5) == recipe.learning_rate(1)
    assert Recipe(warm_up=0).learning_rate(0) == Recipe().lr


@pytest.mark.parametrize("optimiser_matters", [True, False])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(data, tmp_path, optimiser_matters):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert pieces.run(data, whole, 30).finished
    assert not pieces.run(data, parts, 30, pause_after=11 / 60).finished
    assert pieces.state_of(parts)["step"] == 11
    assert not pieces.run(data, parts, 30, resume=True, pause_after=4 / 60).finished
    if not optimiser_matters:  # the test would not see a lost optimiser otherwise
        state = pieces.state_of(parts)
        for moments in state["optimiser"]["state"].values():
            moments["exp_avg"].zero_()
        torch.save(state, parts / "state.pt")
    assert pieces.run(data, parts, 30, resume=True).finished
    if optimiser_matters:
        pieces.assert_same(pieces.state_of(whole), pieces.state_of(parts))
        assert [line["step"] for line in log_of(parts)] == [10, 11, 15, 25, 30]
    else:
        with pytest.raises(AssertionError):
            pieces.assert_same(pieces.state_of(whole), pieces.state_of(parts))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(data, tmp_path, number):
    ticks = pieces.ticking()

    def clock():
        tick = ticks()
        if tick == 7:
            os.kill(os.getpid(), number)
        return tick

    before = signal.getsignal(number)
    outcome = pieces.run(data, tmp_path / "out", 30, clock=clock)
    assert (outcome.finished, outcome.signal) == (False, number) and outcome.step in (7, 8)
    assert pieces.state_of(tmp_path / "out")["step"] == outcome.step and signal.getsignal(number) is before
    assert pieces.run(data, tmp_path / "out", 30, resume=True).step == 30


def test_a_killed_run_leaves_files_that_load(data, tmp_path):
    out = tmp_path / "out"
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(pieces.SPEC))
    options = {"--model": spec, "--batch": 4, "--patch": 8, "--queries": 48, "--threads": 1, "--precision": "fp32"}
    words = [str(word) for pair in options.items() for word in pair]
    child = subprocess.Popen([sys.executable, "-m", "lmf_kernels", "train", str(data), str(out), *words,
                              "--minutes", "9", "--save-every", "0"], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not (out / "weights.safetensors").exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(torch.rand(()).item() / 2)  # into the middle of whatever it does: it saves at every step
        assert child.poll() is None, child.stderr.read()
    finally:
        child.kill()
        child.communicate()
    assert load_model(out / "weights.safetensors").name == "lmliif"
    step = pieces.state_of(out)["step"]
    assert step > 0
    assert main(["train", str(data), str(out), "--minutes", "9", "--resume", "--pause-after", "0.001"]) == 0
    assert pieces.state_of(out)["step"] > step
    steps = [line["step"] for line in log_of(out)]
    assert steps == sorted(steps)


def test_a_loss_that_is_no_number_is_told_and_not_saved(data, tmp_path):
    out = tmp_path / "out"
    pieces.run(data, out, 30, pause_after=5 / 60)
    state = pieces.state_of(out)
    state["weights"]["imnet.layers.0.weight"].fill_(float("nan"))
    torch.save(state, out / "state.pt")
    before = (out / "weights.safetensors").read_bytes()
    with pytest.raises(TrainingFailed, match="loss is nan at step 6: give a lower --lr"):
        pieces.run(data, out, 30, resume=True, save_every=1 / 120)
    assert (out / "weights.safetensors").read_bytes() == before and pieces.state_of(out)["step"] == 5


def test_validation_on_other_pictures(data, tmp_path, seed):
    other = pieces.make_pictures(tmp_path / "other", seed + 1, count=2)
    said = []
    pieces.run(data, tmp_path / "out", 20, validate=str(other), report=said.append)
    assert "5 pictures to train on, 2 to validate on" in said
    line = next(line for line in log_of(tmp_path / "out") if "psnr" in line)
    assert set(line["psnr"]) == {"2", "4"} and all(5 < value < 60 for value in line["psnr"].values())
    assert line["bicubic"]["2"] > 20


def test_a_run_is_not_mixed_with_another(data, tmp_path):
    out = tmp_path / "out"
    pieces.run(data, out, 3)
    before = (out / "state.pt").read_bytes()
    with pytest.raises(InputError, match="holds a run already; give --resume"):
        pieces.run(data, out, 3)
    with pytest.raises(InputError, match="started with batch 4, not 2"):
        pieces.run(data, out, 3, resume=True, recipe={"batch": 2})
    (data / "some_1.png").rename(data / "zebra.png")
    with pytest.raises(InputError, match="pictures are not those"):
        pieces.run(data, out, 3, resume=True)
    assert (out / "state.pt").read_bytes() == before


@pytest.mark.parametrize("change, says", [
    ({"data": "nowhere"}, "There is no folder nowhere"),
    ({"data": "empty"}, "holds no pictures"),
    ({"data": "bad"}, "not a picture"),
    ({"out": "file"}, "Cannot make the folder file"),
    ({"out": "file/out"}, "Cannot make the folder file/out"),
    ({"--resume": ""}, "holds no run to go on with"),
    ({"--minutes": "0"}, "not in the range"),
    ({"--minutes": None}, "Missing option '--minutes'"),
    ({"--patch": "64"}, "has 64 pixels or more"),
    ({"--patch": "2"}, "patch is a whole number from 4"),
    ({"--lr": "nan"}, "lr is a number"),
    ({"--ema": "1"}, "ema is a number"),
    ({"--model": "esrgan"}, "There is no model 'esrgan'"),
    ({"--model": "none.json"}, "Cannot read none.json"),
    ({"--model": "file"}, "is no JSON file"),
    ({"--model": "spec.json"}, "spec.json: Unknown model 'lm'"),
    ({"--model": "spec.json", "--blocks": "3"}, "--blocks sizes a named model"),
    ({"--encoder": "vgg"}, "no encoder 'vgg'"),
    ({"--validate": "."}, "holds no pictures"),
    ({"--validate": "pictures"}, "is the training folder itself"),
    ({"--device": "gpu"}, "'gpu' cannot be used"),
])
def test_bad_input_is_one_sentence(change, says, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_text("no picture")
    (tmp_path / "file").write_text("{")
    (tmp_path / "spec.json").write_text('{"name": "lm", "args": {}}')
    given = {"data": "pictures", "out": "out", "--minutes": "1", "--patch": "8", **change}
    words = [given.pop("data"), given.pop("out")]
    words += [word for name, value in given.items() if value is not None for word in (name, value) if word]
    assert main(["train", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("lmf-kernels: error: ") and shown.err.count("\n") == 1
    assert says in shown.err
    assert not os.path.exists("out") or os.listdir("out") == []


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(data, tmp_path):
    child = os.path.join(os.path.dirname(__file__), "child_train.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, child, str(data), str(tmp_path / "two"), "20"], capture_output=True, text=True,
                          timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    pieces.run(data, tmp_path / "one", 20)
    pieces.assert_same(pieces.state_of(tmp_path / "one"), pieces.state_of(tmp_path / "two"), tolerance=1e-3)
