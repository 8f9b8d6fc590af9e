"""What a command tells of its work while it runs and afterwards, on stderr: progress, stages, what it ran on."""

import contextlib
import sys
import time

import click

SECONDS_BETWEEN_LINES = 5.0  # of progress, where stderr is no terminal
_STEPS = 1000  # of the bar, for one picture


class Clock:
    """Seconds of each stage, summed over pictures; calling it ends a stage."""

    def __init__(self):
        self.stages = {}
        self.settle = lambda: None  # a GPU works on after a call returns: waits for it
        self._last = time.perf_counter()

    def __call__(self, stage):
        self.settle()
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        self._last = now

    def watch(self, model):
        """Wait for the model's GPU, if it is on one, at the end of each stage."""
        device = next(model.parameters()).device
        if device.type == "cuda":
            import torch

            self.settle = lambda: torch.cuda.synchronize(device)

    def __str__(self):
        return ", ".join(f"{stage} {spent:.3f}" for stage, spent in self.stages.items())


@contextlib.contextmanager
def progress_bar(pictures, label):
    """Progress over that many pictures on stderr: a bar on a terminal, elsewhere a line every few seconds.

    Yields tell(done, fraction): pictures that are done, and the fraction of the next one.
    """
    if not sys.stderr.isatty():
        yield _Lines(pictures, label)
        return
    with click.progressbar(length=pictures * _STEPS, label=label, file=sys.stderr) as bar:
        at = 0

        def tell(done, fraction=0.0):
            nonlocal at
            now = min(int((done + fraction) * _STEPS), pictures * _STEPS)
            bar.update(now - at)
            at = now

        yield tell


class _Lines:
    """Progress as lines of their own, for log files and pipes; none where all is done within the first seconds."""

    def __init__(self, pictures, label):
        self._pictures, self._label, self._last = pictures, label, time.monotonic()

    def __call__(self, done, fraction=0.0):
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES or done == self._pictures:
            return
        self._last = now
        counted = f"{done} of {self._pictures} pictures, " if self._pictures > 1 else ""
        say(self._label, f"{counted}{(done + fraction) / self._pictures:.0%}")


def say(word, text):
    """One line on stderr: what it is about, padded, then the text."""
    click.echo(f"{word:8} {text}", err=True)


def say_model(model, name):
    """Say which model ran, and on what."""
    count = sum(parameter.numel() for parameter in model.parameters())
    say("model", f"{name}: {model.name}, {count} parameters")
    say("ran on", _ran_on(model))


def say_share(cmsr):
    """Say how much of a full rendering a `cmsr.CMSR` rendered."""
    say("cmsr", "nothing to do, no picture was enlarged more than x4" if cmsr.share is None else
        f"{cmsr.share:.1%} of the full-rate queries rendered")


def say_lines(lines):
    """Say several (word, text)."""
    for word, text in lines:
        say(word, text)


def picture_lines(job):
    """What became of one picture, as (word, text); holds none of its pixels."""
    (height, width), size = job.picture.size, job.size
    rendered = job.placement.rendered
    kind = ("grey" if job.channels < 3 else "RGB") + " and alpha" * (job.channels % 2 == 0)
    cut = f" cut to {size[1]}x{size[0]}" * (rendered != size)
    frames = f"{job.picture.count} frames, " if job.animated else ""
    return [("picture", f"{width}x{height} to {rendered[1]}x{rendered[0]}{cut} (x{rendered[1] / width:.3f} by "
                        f"x{rendered[0] / height:.3f}), {frames}{kind}, {8 if job.dtype().itemsize == 1 else 16} bits, "
                        f"{job.target}"),
            *(("note", note) for note in job.notes)]


def _ran_on(model):
    """The backend that rendered, in words, with what the other stages ran on."""
    import torch

    from ..backends import describe
    from ..explanation import explain

    runs = explain(model, epilogue="unit", dtype=torch.uint8).runs
    detail = {row["name"]: row["detail"] for row in describe()}[runs]
    weight, threads = next(model.parameters()), torch.get_num_threads()
    return (f"{runs} ({detail}); torch {torch.__version__} on {weight.device} in {str(weight.dtype)[6:]}, "
            f"{threads} CPU thread{'s' * (threads > 1)}")
