"""A run from its beginning or from where it was left: sets the parts up, and hands them to the loop."""

import copy
import functools
import os
from typing import NamedTuple

import torch

from ..errors import InputError
from .data import Loader, fingerprint, read_pictures
from .fonts import find_fonts, font_names
from .initial import initial_model, model_from_file
from .loop import Trainer, TrainingFailed
from .memory import keep_freed_memory
from .objective import Objective
from .run_folder import RunFolder
from .signals import stop_signal
from .provenance import provenance
from .validation import Validation

_HELD_OUT_EVERY = 50  # pictures; without a validation folder, one in so many is kept out of training


__all__ = ["Outcome", "TrainingFailed", "saved_config", "train"]


class Outcome(NamedTuple):
    """How a part of a run ended."""

    finished: bool  # False: paused or stopped, to be resumed
    signal: int | None  # the signal that stopped it
    step: int
    minutes: float  # used in all


def train(data, out, spec, recipe, *, minutes, team, resume=False, pause_after=None, save_every=3.0, validate=None,
          initial=None, fonts=None, licence="not stated", report=lambda text: None, clock=None):
    """Train a model for a time, or go on doing so.

    Args:
        data: folder of pictures.
        out: folder for the results, see `run_folder`.
        spec: {"name", "args"} of the model. recipe: Recipe. With `resume`, those the run was started with.
        minutes: of training in all, earlier parts of the run included; the learning rate reaches zero there.
        team: distributed.Team.
        resume: go on with the run saved in `out`.
        pause_after: stop this part after so many minutes, to be resumed; None: no pause.
        save_every: minutes between checkpoints.
        validate: folder of pictures to validate on; None: a few of the training pictures, kept out of training.
        initial: a built-in model's name or a file of `load_model` whose weights the run begins with; None: a seed's.
        fonts: folder of fonts for drawn text; None: those of the system. Pillow's own is used besides.
        licence: of the weights, for their metadata.
        report: called with lines of text about the progress, on the leading process.
        clock: for tests, see `Timer`.

    Returns:
        Outcome. Pictures are read before the time begins to count.

    Raises:
        InputError: the folders, the pictures or the saved run do not fit.
    """
    places = team.places(recipe.batch)
    fonts = find_fonts(fonts) if recipe.graphics or recipe.patterns else ()
    folder = RunFolder(out)
    if folder.started and not resume:
        raise InputError(f"{out} holds a run already; give --resume to go on with it, or another folder.")
    state = folder.read_state() if resume else None
    folder.make()
    if not team.is_main:
        report = _silent
    pictures, held_out = _pictures(data, recipe, validate, report)
    config = {"spec": spec, "recipe": recipe.as_dict(), "pictures": fingerprint(pictures), "fonts": font_names(fonts)}
    if state is not None:
        config["initial"] = state["config"]["initial"]
        _check_same(state["config"], config, out)
        model = initial_model(spec, recipe.seed)
    elif initial is not None:
        model, config["initial"] = model_from_file(initial, spec)
    else:
        model, config["initial"] = initial_model(spec, recipe.seed), None
    if team.device.type == "cpu":
        keep_freed_memory()
    model = model.to(team.device, memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    objective = Objective(model, recipe.precision, recipe.consistency)
    trainer = Trainer(model, average, team.wrap(objective), recipe, team, config)
    if state is not None:
        trainer.load_state(state)
        folder.cut_log(trainer.step) if team.is_main else None
    metadata = {"license": licence, "training_data": provenance(data, pictures), "seed": recipe.seed,
                "recipe": recipe.as_dict(), "machine": team.machine(), "fonts": config["fonts"]}
    if config["initial"]:
        metadata["initial_weights"] = config["initial"]
    validation = Validation(held_out, team.device) if held_out and team.is_main else None
    pixels = functools.partial(model.family.training_pixels, model.render_spec)
    threads = 4 if team.device.type == "cuda" else 1
    with Loader(pictures, recipe, trainer.step, places, threads, fonts, pixels) as loader, stop_signal() as stop:
        finished = trainer.run(loader, folder, minutes * 60, stop, metadata, report=report, validate=validation,
                               pause_after=pause_after and pause_after * 60, save_every=save_every * 60, clock=clock)
    return Outcome(finished, stop.signal, trainer.step, trainer.used / 60)


def saved_config(out):
    """{"spec", "recipe", "pictures"} of the run saved in a folder; CheckpointError where there is none."""
    return RunFolder(out).read_state()["config"]


def _pictures(data, recipe, validate, report):
    """Pictures to train on and pictures to validate on; never one for both."""
    pictures, small = read_pictures(data, recipe.patch)
    if small:
        report(f"left out {len(small)} pictures with a side under {recipe.patch} pixels")
    if validate is not None:
        held_out, _ = read_pictures(validate, recipe.patch)
        if os.path.realpath(validate) == os.path.realpath(data):
            raise InputError(f"{validate} is the training folder itself; validate on other pictures.")
    else:
        middle = _HELD_OUT_EVERY // 2
        held_out = pictures[middle::_HELD_OUT_EVERY]
        del pictures[middle::_HELD_OUT_EVERY]
    report(f"{len(pictures)} pictures to train on, {len(held_out)} to validate on")
    return pictures, held_out


def _check_same(saved, config, out):
    """A resumed run goes on with the same model, recipe and pictures."""
    if saved["pictures"] != config["pictures"]:
        raise InputError(f"The pictures are not those that the run in {out} was started with; give the same folder and "
                         "the same --validate, or start a new run in another folder.")
    if saved["spec"] != config["spec"]:
        raise InputError(f"The run in {out} trains another model; leave the model's options out to go on with it.")
    if saved["fonts"] != config["fonts"]:
        raise InputError(f"The fonts found are not those that the run in {out} was started with; give the same folder "
                         "as --fonts, or start a new run in another folder.")
    for name, value in config["recipe"].items():
        if saved["recipe"].get(name) != value:
            raise InputError(f"The run in {out} was started with {name} {saved['recipe'].get(name)}, not {value}; "
                             "leave the option out to go on with it.")


def _silent(text):
    """Only the leading process reports."""
