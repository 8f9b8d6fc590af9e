"""Does for one picture at a time what the command line asks for."""

import os
from typing import NamedTuple

from .. import built_in, checkpoints, picture_job
from ..cmsr import resolve
from ..errors import InputError
from ..images import format_of, options_of
from ..tiling import memory
from . import report
from .options import loaded_model, model_name, set_threads
from .record import Record, digest


class Request(NamedTuple):
    """What is asked for, as on the command line. scale: a number, or box: a picture_job.Box."""

    scale: float | None
    box: picture_job.Box | None
    quality: int | None = None
    max_memory: str | None = None
    max_megapixels: float | None = None
    overwrite: bool = False
    tta: bool = False
    cmsr: str | None = None


class Worker:
    """Prepares and runs jobs. run_on: the options of a model, as in `options.model_options`.

    Raises:
        InputError: max_memory is not an amount of memory.
    """

    def __init__(self, request, run_on):
        self.request, self.run_on, self.clock = request, run_on, report.Clock()
        given = request.max_memory
        self._max_memory = None if given is None else memory.parse_size(given, "--max-memory")
        self._model_digest = self._cmsr = None
        set_threads(run_on)

    def load(self):
        """(model, what it was asked for as)."""
        model, name = loaded_model(self.run_on)
        self.clock.watch(model)
        self._cmsr = resolve(self.request.cmsr, model)
        self.clock("load model")
        return model, name

    def prepare(self, source, target):
        """The picture_job.Job of one file; reads the picture."""
        request = self.request
        most = None if request.max_megapixels is None else int(request.max_megapixels * 1e6)
        job = picture_job.prepare(source, target, request.scale, request.box, quality=self._quality_of(target),
                                  max_pixels=most, overwrite=request.overwrite)
        self.clock("read picture")
        return job

    def run(self, job, model, progress):
        """Upscale and write; returns the job."""
        picture_job.run(job, model, max_memory=self._max_memory, tta=self.request.tta, cmsr=self._cmsr,
                        on_stage_end=self.clock, progress=progress)
        return job

    def lines(self, job):
        """What became of one picture, as (word, text), and which model would be better for it."""
        lines = report.picture_lines(job)
        quality = None if job.animated else job.picture.jpeg_quality
        better = built_in.advised(model_name(self.run_on), quality)
        if better:
            lines.append(("note", f"{job.source} is a JPEG of quality {quality}, or about that: --model {better} "
                                  "smooths its blocks."))
        return lines

    def run_alone(self, source, target, worded=str, keep_record=False):
        """Upscale one picture and say what became of it.

        Args:
            worded: see `streams.as_files`.
            keep_record: note it in the record of target's folder.
        """
        self.check_quality([target])
        job = self.prepare(source, target)  # whatever is wrong with the files is said before the model is read
        model, name = self.load()
        with report.progress_bar(1, "upscale") as tell:
            self.run(job, model, lambda fraction: tell(0, fraction))
        if keep_record:
            Record(os.path.dirname(target)).add(source, target, self.way_of(target))
        report.say_model(model, name)
        report.say_lines((word, worded(text)) for word, text in self.lines(job))
        self.say_share()
        report.say("seconds", str(self.clock))

    def say_share(self):
        """Say what CMSR rendered of all pictures, if it was asked for."""
        if self._cmsr is not None:
            report.say_share(self._cmsr)

    def check_quality(self, targets):
        """Raise InputError where a quality is asked for and no file's format takes one."""
        if self.request.quality is not None and not any(format_of(target).takes_quality for target in targets):
            options_of(targets[0], self.request.quality)

    def way_of(self, target):
        """How `target` is made: what a folder's record compares.

        Raises:
            CheckpointError: there is no such model.
        """
        if self._model_digest is None:
            path = checkpoints.find(model_name(self.run_on))
            try:
                self._model_digest = digest(path)
            except OSError as error:
                raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
        box = self.request.box
        how = {"scale": self.request.scale} if box is None else {"size": [box.height, box.width], "fit": box.fit}
        how = {**how, "tta": True} if self.request.tta else how
        table = self.request.cmsr
        if table is not None:
            how["cmsr"] = digest(table) if os.path.isfile(table) else table
        return {**how, "model": self._model_digest, "dtype": self.run_on["dtype"],
                "quality": self._quality_of(target)}

    def _quality_of(self, target):
        """The quality asked for, None where the format has none."""
        return self.request.quality if format_of(target).takes_quality else None
