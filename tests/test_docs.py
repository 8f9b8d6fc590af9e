"""The README and docs/: links lead somewhere, snippets run as they stand, figures are those of bench/results."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)  # not "```python no-run"


def headings(page):
    """The anchors that GitHub makes of a page's headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not link.startswith("https://")]
    assert links, "a page without a link to another one cannot be left"
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link} is no file"
        assert not anchor or anchor in headings(target), f"{page.name}: {link} names no heading"


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / link).resolve() for link in LINK.findall(PAGES[0].read_text(encoding="utf-8"))}
    assert set(PAGES[1:]) <= linked


@pytest.mark.parametrize("name", ["README.md", "docs/extending.md",
                                  pytest.param("docs/drop-in.md", marks=pytest.mark.slow)])
def test_snippets_run(name, tmp_path):
    """A page's snippets, one after the other in one process; drop-in.md compiles a model, which takes a minute."""
    snippets = PYTHON.findall((ROOT / name).read_text(encoding="utf-8"))
    assert snippets
    shutil.copy(ROOT / "tests" / "golden" / "lmliif.pth", tmp_path / "checkpoint.pth")
    done = subprocess.run([sys.executable, "-I", "-c", "\n".join(snippets)], cwd=tmp_path, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


SEARCHED = ("lmf_kernels/**/*.py", "python_ref/*.py", "csrc/**/*", "CMakeLists.txt")


@pytest.mark.parametrize("section, existing, among", [
    ("A render family in the package", {"<family>": "plain_mlp"},
     r"families|ops|backends/reference|python_ref/(?!lte|liif)"),
    ("A kernel of a family", {"<family>": "modulated_mlp"}, r"CMake|csrc|backends/(native_call|cpu|cuda)"),
    ("A model", {"<model>": "lmlte"}, ""),
    ("A backend", {"<backend>": "triton", "<family>": "modulated_mlp"}, r"lmf_kernels/backends/(?!triton)"),
])
def test_extending_lists_every_file_that_names_an_existing_one(section, existing, among):
    """A place that a new one must touch is a place that names an existing one. among: where such places can be."""
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    for placeholder, name in existing.items():
        text = text.replace(placeholder, name)
    listed, (word, *_) = set(re.findall(r"`([\w/.]+)`", text)), existing.values()
    found = {str(path.relative_to(ROOT)) for pattern in SEARCHED for path in ROOT.glob(pattern) if path.is_file()
             and re.search(rf"\b{word}\b", path.read_text(encoding="utf-8"), re.IGNORECASE)}
    found = {path for path in found if re.search(among, path)}
    assert found and not found - listed


def test_figures_are_those_of_the_results():
    """Where this fails: python -m bench.tables --write README.md docs/benchmarks.md"""
    pages = [str(ROOT / "README.md"), str(ROOT / "docs" / "benchmarks.md")]
    done = subprocess.run([sys.executable, "-m", "bench.tables", "--check", *pages], cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
