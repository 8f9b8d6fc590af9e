"""What the program does before any command: --help and --version, without torch."""

import subprocess
import sys

import pytest

from lmf_kernels import build_info


def started(*arguments, way):
    """Run the program so that it prints, last on stderr, which heavy packages it has imported."""
    start = {"console script": "sys.argv[0] = '/usr/bin/lmf-kernels'; from lmf_kernels.cli import main; main()",
             "python -m": "sys.argv[0] = '-m'; sys.orig_argv = ['python', '-m', 'lmf_kernels']; "
                          "import runpy; runpy.run_module('lmf_kernels', run_name='__main__')"}[way]
    script = ("import atexit, sys; atexit.register(lambda: print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)), "
              f"file=sys.stderr)); {start}")
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("way", ["console script", "python -m"])
@pytest.mark.parametrize("arguments", [["--help"], [], ["upscale", "--help"], ["train", "-h"], ["--version"],
                                       ["nonsense"]], ids=" ".join)
def test_nothing_heavy_is_imported(arguments, way):
    done = started(*arguments, way=way)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    if arguments == ["--version"]:
        assert done.stdout == f"lmf-kernels {build_info.version()}\n"


@pytest.mark.parametrize("way", ["console script", "python -m"])
def test_a_command_imports_what_it_needs(way):
    done = started("info", way=way)
    assert done.returncode == 0 and "torch" in done.stderr.splitlines()[-1] and "backends:" in done.stdout


def test_a_library_s_names_are_all_there():
    script = ("import lmf_kernels as lmf; "
              "print([name for name in lmf.__all__ if not hasattr(lmf, name)], len(lmf.__all__))")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    missing, count = done.stdout.strip().rsplit(" ", 1)
    assert missing == "[]" and int(count) > 10
