"""What a command tells of its work while it runs and afterwards, on stderr: progress, stages, what it ran on."""

import contextlib
import sys
import time

import click

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
    """A bar on stderr over that many pictures, if stderr is a terminal. Yields tell(done, share): pictures that are
    done, and the share of the next one."""
    if not sys.stderr.isatty():
        yield lambda done, share=0.0: None
        return
    with click.progressbar(length=pictures * _STEPS, label=label, file=sys.stderr) as bar:
        at = 0

        def tell(done, share=0.0):
            nonlocal at
            now = min(int((done + share) * _STEPS), pictures * _STEPS)
            bar.update(now - at)
            at = now

        yield tell


def say(word, text):
    """One line on stderr: what it is about, padded, then the text."""
    click.echo(f"{word:8} {text}", err=True)


def say_model(model, name):
    """Say which model ran, and on what."""
    count = sum(parameter.numel() for parameter in model.parameters())
    say("model", f"{name}: {model.name}, {count} parameters")
    say("ran on", _ran_on(model))


def say_picture(job):
    """Say what became of one picture."""
    (height, width), size = job.picture.size, job.size
    kind = ("grey" if job.channels < 3 else "RGB") + " and alpha" * (job.channels % 2 == 0)
    say("picture", f"{width}x{height} to {size[1]}x{size[0]} (x{size[1] / width:.3f} by x{size[0] / height:.3f}), "
                   f"{kind}, {8 if job.dtype().itemsize == 1 else 16} bits, {job.target}")
    for note in job.notes:
        say("note", note)


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
