"""What numbers stand on: the GPU, the versions, the sources. Those of calls that differ in any do not go together.

The sources are known by a digest, not by their commit: to commit the results of one call must not make those of the
next another thing, and a machine that is given a copy of the sources has no commit.
"""

import hashlib
import json
import pathlib
from importlib.util import find_spec

COMPILED = ("bindings", "common", "cpu", "cuda")  # folders of csrc
PACKAGES = ("lmf_kernels", "python_ref")
VERSIONS = ("torch", "cuda_of_torch", "triton", "nvcc", "architectures")


def csrc_digest(root):
    """The digest of the compiled sources, as CMakeLists.txt computes it for the modules' build_info()."""
    names = sorted(path.relative_to(root).as_posix() for folder in COMPILED
                   for path in (root / "csrc" / folder).iterdir() if path.is_file())
    lines = "".join(f"{name} {hashlib.sha256((root / name).read_bytes()).hexdigest()}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def python_digest(folders):
    """The digest of the Python files in package folders such as lmf_kernels."""
    digest = hashlib.sha256()
    for folder in map(pathlib.Path, folders):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def installed_folders():
    """The folders of the packages that this Python would import; none is imported. [] where one is missing."""
    found = [find_spec(name) for name in PACKAGES]
    return [] if None in found else [pathlib.Path(spec.origin).parent for spec in found]


def difference(record, other):
    """In words, the first thing in which two records differ so that they cannot be merged, or None."""
    for name, of in _facts(record).items():
        if of != _facts(other)[name]:
            return f"{name} {of} and {_facts(other)[name]}"
    return None


def _facts(record):
    device = record["facts"].get("device", {})
    return {
        "GPU": device.get("name"), "driver": device.get("driver"), "sources": record["sources"],
        "dry run": record["quick"], **{name: json.dumps(record["versions"].get(name)) for name in VERSIONS}}
