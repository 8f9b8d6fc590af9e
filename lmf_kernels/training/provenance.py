"""Where training pictures come from, for the metadata of weights trained on them."""

import csv
import os
from collections import Counter

TABLE = "LICENSES.tsv"  # file name, licence (with its source), further columns; tab-separated


def provenance(folder, pictures):
    """Where the pictures come from: {"pictures": count, "sources": [{"series", "licence", "pictures"}]}.

    Args:
        folder: the pictures' folder; its LICENSES.tsv, where there is one, names a licence for each picture.
        pictures: [data.Picture].
    """
    stated = {}
    try:
        with open(os.path.join(folder, TABLE), encoding="utf-8", newline="") as file:
            stated = {row[0]: row[1].strip() for row in csv.reader(file, delimiter="\t") if len(row) > 1}
    except (OSError, UnicodeDecodeError, csv.Error):
        pass  # the table is welcome, not required
    groups = Counter((_series(picture.name), stated.get(picture.name, "not stated")) for picture in pictures)
    listed = [{"series": series, "licence": licence, "pictures": count}
              for (series, licence), count in sorted(groups.items())]
    return {"pictures": len(pictures), "sources": listed if stated else "not stated"}


def _series(name):
    """The part of a file name before its number: pictures of one source share it."""
    stem = os.path.splitext(name)[0]
    return stem.rstrip("0123456789").rstrip("_- ") or stem
