"""Builds the CMSR tables that ship: three precisions for each built-in model, beside its weights.

    python -m bench.cmsr_tables DIR [--model NAME] [--pictures N]

DIR: a folder of photographs, of which N (default 100) are taken at equal distances in the order of their names. Takes
about three minutes on one core for a model. Run it again whenever the weights of a model change: a test compares the
digest of the weights that each table names.
"""

import argparse
import sys

from lmf_kernels import built_in, load_model
from lmf_kernels.cli.folder_of_pictures import pictures_in
from lmf_kernels.cli.record import digest
from lmf_kernels.cli.report import progress_bar
from lmf_kernels.cmsr import build_tables, write_tables
from lmf_kernels.errors import InputError
from lmf_kernels.evaluation import read_hr

PRECISIONS = (5e-6, 2e-5, 1e-4)
MARGIN = 0.5  # of a precision: noise differs more than the photographs' cells of its intensity


def modulated():
    """The built-in models that have modulations."""
    return [name for name in built_in.names() if built_in.about(name).architecture.startswith("lm")]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--model", action="append", metavar="NAME", help="default: every built-in LM model")
    parser.add_argument("--pictures", type=int, default=100, metavar="N")
    chosen = parser.parse_args(arguments)
    try:
        paths = pictures_in(chosen.folder)
        count = min(max(chosen.pictures, 1), len(paths))
        paths = [paths[index * len(paths) // count] for index in range(count)]
        for name in chosen.model or modulated():
            build(name, paths)
    except InputError as error:
        print(f"bench.cmsr_tables: {error}", file=sys.stderr)
        return 2
    return 0


def build(name, paths):
    """Build and write the tables of one model."""
    with progress_bar(1, name) as tell:
        found = build_tables(load_model(name), [lambda path=path: read_hr(path) for path in paths],
                             [MARGIN * precision for precision in PRECISIONS],
                             progress=lambda fraction: tell(0, fraction))
    for precision, tables in zip(PRECISIONS, found.values(), strict=True):
        path = built_in.cmsr_path(name, precision)
        write_tables(path, tables, notes(name, precision, len(paths)))
        print(path)


def notes(name, precision, count):
    """The comment above a table."""
    return [f"CMSR table of {name} at a mean squared difference of {precision:g}, from {count} photographs",
            f"weights: {digest(built_in.path_of(name))}"]


if __name__ == "__main__":
    sys.exit(main())
