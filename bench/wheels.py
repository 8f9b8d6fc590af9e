"""Sizes of wheels and of the compiled modules in them: python -m bench.wheels WHEEL ... [--json FILE]

Prints the rows of docs/wheels.md's table; its numbers are those of bench/results/wheels/sizes.json.
"""

import argparse
import json
import pathlib
import zipfile

from .formats import table


def sizes(path):
    """Bytes: of the wheel, of the weights packed in it, and of its modules unpacked (0: not in it)."""
    with zipfile.ZipFile(path) as wheel:
        modules = {name: sum(entry.file_size for entry in wheel.infolist() if f"/{name}." in entry.filename)
                   for name in ("_cpu", "_cuda")}
        weights = sum(entry.compress_size for entry in wheel.infolist() if entry.filename.endswith(".safetensors"))
    return {"version": path.name.split("-")[1], "wheel": path.stat().st_size, "weights": weights, **modules}


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Sizes of wheels and of the compiled modules in them.")
    parser.add_argument("wheels", nargs="+", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the bytes to FILE")
    options = parser.parse_args(arguments)
    found = [sizes(path) for path in options.wheels]
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    columns = ("wheel", "_cuda", "_cpu", "weights")
    rows = [[row["version"], *(f"{row[c] / 1e6:.2f} MB" for c in columns)] for row in found]
    print(table(["version", *columns], rows), end="")


if __name__ == "__main__":
    main()
