"""Which pictures a command line names, and which file each becomes."""

import os
from dataclasses import dataclass, field

import click

from ..errors import InputError
from ..images import READ_SUFFIXES, WRITE_SUFFIXES, format_of, is_animated


@dataclass
class Plan:
    """pairs: (input, output) files. folder: the folder that outputs go to, None where OUT names a file. many: several
    inputs or a folder were given, not one file. left_out: sub-folders that were not entered."""

    pairs: list = field(default_factory=list)
    folder: str | None = None
    many: bool = False
    left_out: list = field(default_factory=list)


def plan(sources, target, suffix=None, *, recursive=False, overwrite=False):
    """Find the pictures to upscale: Plan, its pairs in the order of the command line, a folder's sorted by name.

    One file becomes `target`, or a file of its name where that is a folder. Several files, and the pictures in a
    folder, go to the folder `target`, which need not exist; sub-folders are mirrored there.

    Args:
        sources: files and folders.
        suffix: of all outputs, such as ".png"; None: each keeps its own, .png where that cannot be written.
        recursive: enter sub-folders.
        overwrite: a folder may be its own target.

    Raises:
        InputError: a file or folder cannot be used, there is no picture, or two inputs would have one output.
    """
    if suffix is not None and suffix not in WRITE_SUFFIXES:
        raise InputError(f"Cannot write {suffix} files: the suffix is one of {' '.join(WRITE_SUFFIXES)}.")
    found = Plan(many=len(sources) > 1 or os.path.isdir(sources[0]))
    if not found.many and not os.path.isdir(target):
        if suffix:
            raise click.UsageError("--format is for folders and standard output; OUT's suffix names the format.")
        found.pairs.append((sources[0], target))
        return found
    _check_target(sources, target)
    found.folder = target
    for source in sources:
        if os.path.isdir(source):
            _check_source(source, target, overwrite)
            _add_folder(found, source, target if len(sources) == 1 else os.path.join(target, _name_of(source)),
                        suffix, recursive)
        else:
            found.pairs.append((source, os.path.join(target, _output_name(source, suffix))))
    if not found.pairs:
        count = len(found.left_out)
        inner = f", apart from its sub-folders, which --recursive enters ({count})" if count else ""
        raise InputError(f"There is no picture in {' '.join(sources)}{inner}; known suffixes: "
                         f"{' '.join(READ_SUFFIXES)}.")
    _check_distinct(found.pairs)
    return found


def _add_folder(found, source, target, suffix, recursive):
    """Add the pictures of a folder, and of those within it if `recursive`. Never the results of this very run."""
    if not os.access(source, os.R_OK | os.X_OK):
        raise InputError(f"Cannot read the folder {source}: permission denied.")
    for entry in sorted(os.listdir(source)):
        path = os.path.join(source, entry)
        if entry.startswith("."):
            continue
        if os.path.isdir(path):
            if os.path.realpath(path) == os.path.realpath(found.folder):
                continue
            if recursive and not os.path.islink(path):  # a link may lead back to where it lies
                _add_folder(found, path, os.path.join(target, entry), suffix, recursive)
            else:
                found.left_out.append(path)
        elif os.path.splitext(entry)[1].lower() in READ_SUFFIXES:
            found.pairs.append((path, os.path.join(target, _output_name(path, suffix))))


def _output_name(path, suffix):
    """The name of a picture's result in a folder. A GIF that is no animation becomes PNG, which keeps its colours."""
    stem, own = os.path.splitext(os.path.basename(path))
    keeps = own.lower() in WRITE_SUFFIXES and (format_of(path).name != "GIF" or is_animated(path))
    return stem + (suffix or (own if keeps else ".png"))


def _name_of(folder):
    return os.path.basename(os.path.abspath(folder))


def _check_distinct(pairs):
    taken = {}
    for source, target in pairs:
        if target in taken:
            raise InputError(f"{taken[target]} and {source} would both become {target}; rename one, or leave out "
                             "--format.")
        taken[target] = source


def _check_source(source, target, overwrite):
    if os.path.realpath(source) == os.path.realpath(target) and not overwrite:
        raise InputError(f"IN and OUT are the same folder, {source}; give another OUT, or --overwrite to replace the "
                         "pictures by their results.")


def _check_target(sources, target):
    if not os.path.isdir(target) and (
            os.path.exists(target) or os.path.splitext(target)[1].lower() in WRITE_SUFFIXES):
        if len(sources) > 1:
            raise InputError(f"Cannot write {len(sources)} inputs to the one file {target}; OUT is a folder then.")
        raise InputError(f"Cannot upscale {sources[0]} to {target}: it is a folder, so OUT is a folder too.")
    place = target if os.path.isdir(target) else os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(place):
        raise InputError(f"Cannot make the folder {target}: there is no folder {place}.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"Cannot write to the folder {place}: permission denied.")
