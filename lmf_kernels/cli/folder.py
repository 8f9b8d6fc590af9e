"""A folder of pictures: which file becomes which, what is done already, what failed."""

import os

from ..errors import BackendError, InputError
from ..images import READ_SUFFIXES, WRITE_SUFFIXES
from . import failures, report


def plan(source, target, suffix=None):
    """The (input, output) files of a folder, sorted by name. Folders within it are not entered.

    Args:
        source, target: folders; target need not exist, the folder that it lies in must.
        suffix: of all outputs, such as ".png"; None: each keeps its own, .png where that cannot be written.

    Raises:
        InputError: a folder cannot be used, there is no picture, or two inputs would have one output.
    """
    _check_folders(source, target)
    if suffix is not None and suffix not in WRITE_SUFFIXES:
        raise InputError(f"Cannot write {suffix} files: the suffix is one of {' '.join(WRITE_SUFFIXES)}.")
    taken = {}
    for name in sorted(os.listdir(source)):
        stem, own = os.path.splitext(name)
        if name.startswith(".") or own.lower() not in READ_SUFFIXES or os.path.isdir(os.path.join(source, name)):
            continue
        out = stem + (suffix or (own if own.lower() in WRITE_SUFFIXES else ".png"))
        if out in taken:
            raise InputError(f"{os.path.join(source, taken[out])} and {os.path.join(source, name)} would both become "
                             f"{os.path.join(target, out)}; rename one, or leave out --suffix.")
        taken[out] = name
    if not taken:
        raise InputError(f"There is no picture in {source}; known suffixes: {' '.join(READ_SUFFIXES)}.")
    return [(os.path.join(source, name), os.path.join(target, out)) for out, name in taken.items()]


def is_done(source, target):
    """Whether target is there and not older than source."""
    return os.path.exists(target) and os.path.getmtime(target) >= os.path.getmtime(source)


def upscale_all(pairs, load, work, *, overwrite, clock):
    """Upscale the files that are not done yet, each on its own; returns the exit status, 1 if any failed.

    Args:
        pairs: as `plan` gives them.
        load: () -> (model, name), called once, if anything is to be done.
        work: (source, target, model, progress) -> Job; raises what went wrong with this one file.
    """
    todo = [pair for pair in pairs if overwrite or not is_done(*pair)]
    skipped, failed, done = len(pairs) - len(todo), [], []
    if todo:
        model, name = load()
        os.makedirs(os.path.dirname(todo[0][1]), exist_ok=True)
        with report.progress_bar(len(todo), "upscale") as tell:
            for index, (source, target) in enumerate(todo):
                try:
                    done.append(work(source, target, model, lambda share: tell(index, share)))
                except BackendError:
                    raise  # it is the model's and would befall every picture
                except Exception as error:
                    said = failures.sentence(error)
                    if said is None:
                        raise
                    failed.append((source, said))
                tell(index + 1)
        for job in done:
            report.say_picture(job)
        report.say_model(model, name)
        report.say("seconds", str(clock))
    report.say("folder", f"{len(done)} upscaled, {skipped} skipped as done, {len(failed)} failed")
    for source, said in failed:
        report.say("failed", said if source in said else f"{source}: {said}")
    return 1 if failed else 0


def _check_folders(source, target):
    if not os.path.isdir(target) and (
            os.path.exists(target) or os.path.splitext(target)[1].lower() in WRITE_SUFFIXES):
        raise InputError(f"Cannot upscale {source} to {target}: it is a folder, so OUT is a folder too.")
    if os.path.realpath(source) == os.path.realpath(target):
        raise InputError(f"IN and OUT are the same folder, {source}; give another OUT, so that no result is taken for "
                         "an input the next time.")
    place = target if os.path.isdir(target) else os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(place):
        raise InputError(f"Cannot make the folder {target}: there is no folder {place}.")
    for folder, mode, cannot in ((source, os.R_OK | os.X_OK, "read"), (place, os.W_OK | os.X_OK, "write to")):
        if not os.access(folder, mode):
            raise InputError(f"Cannot {cannot} the folder {folder}: permission denied.")
