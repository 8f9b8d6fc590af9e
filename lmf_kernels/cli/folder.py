"""Many pictures: what is done already, what failed, what was left out."""

import os

from ..errors import BackendError
from . import failures, report
from .record import Record, State


def upscale_all(plan, worker, *, overwrite):
    """Upscale the files that are not done yet, each on its own; returns the exit status, 1 if any failed.

    Args:
        plan: an inputs.Plan with a folder.
        worker: a worker.Worker.
        overwrite: make all files, also those that are done or that the program has not made.
    """
    worker.check_quality([target for _, target in plan.pairs])
    made = {target: worker.way_of(target) for _, target in plan.pairs}
    records = {folder: Record(folder) for folder in {os.path.dirname(target) for _, target in plan.pairs}}
    states = [State.TO_DO if overwrite else records[os.path.dirname(target)].state(source, target, made[target])
              for source, target in plan.pairs]
    todo = [pair for pair, state in zip(plan.pairs, states) if state is State.TO_DO]
    foreign = [target for (_, target), state in zip(plan.pairs, states) if state is State.FOREIGN]
    done, failed = [], []
    if todo:
        model, name = worker.load()
        with report.progress_bar(len(todo), "upscale") as tell:
            for index, (source, target) in enumerate(todo):
                try:
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    job = worker.run(worker.prepare(source, target), model, lambda fraction: tell(index, fraction))
                    done.append(worker.lines(job))
                    records[os.path.dirname(target)].add(source, target, made[target])
                    del job  # and its pixels
                except BackendError:
                    raise  # it is the model's and would befall every picture
                except Exception as error:
                    said = failures.sentence(error)
                    if said is None:
                        raise
                    failed.append((source, said))
                tell(index + 1)
        for lines in done:
            report.say_lines(lines)
        worker.say_share()
        report.say_model(model, name)
        report.say("seconds", str(worker.clock))
    report.say("folder", f"{len(done)} upscaled, {states.count(State.DONE)} skipped as done, {len(failed)} failed")
    if foreign:
        report.say("kept", f"{_counted(foreign, 'file')} not made by lmf-kernels, or changed since "
                           f"({_named(foreign)}); --overwrite replaces them")
    if plan.left_out:
        report.say("left out", f"{_counted(plan.left_out, 'sub-folder')} ({_named(plan.left_out)}); --recursive enters "
                               "them")
    for source, said in failed:
        report.say("failed", said if source in said else f"{source}: {said}")
    return 1 if failed else 0


def _counted(paths, what):
    return f"{len(paths)} {what}{'s' * (len(paths) > 1)}"


def _named(paths):
    """The first few paths."""
    return ", ".join(paths[:3]) + ", ..." * (len(paths) > 3)
