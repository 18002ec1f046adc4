"""Every notebook, run top to bottom as nbdev_test does, one case a notebook."""

import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from execnb.nbio import mk_cell, new_nb, write_nb
from nbdev.config import get_config
from running import forked

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
NOTEBOOKS = sorted(p for p in NBS.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
TIMEOUT_S = 900


def _words(outputs: list) -> Counter:
    """The words of what a cell prints or returns. Numbers, paths and times differ from machine to machine."""
    printed = [output.text for output in outputs if output.get("name") == "stdout"]
    printed += [output.data["text/plain"] for output in outputs if {*output.get("data", {})} == {"text/plain"}]
    text = "\n".join("".join(part) for part in printed)
    return Counter(re.findall(r"[A-Za-z]{2,}", re.sub(r"\S*[\d/]\S*", " ", text)))


def _differing(path: Path) -> list[str]:
    """Note the cells that do not print what the page shows, while a notebook runs."""
    from execnb.shell import CaptureShell

    run_cell, differing = CaptureShell.cell, []

    def cell(self, cell, *args, **kwargs):
        shown, cell.outputs = _words(cell.get("outputs", [])), []
        run_cell(self, cell, *args, **kwargs)
        if shown and cell.cell_type == "code" and (now := _words(cell.outputs)) != shown:
            lost, new = (" ".join((a - b).elements()) for a, b in ((shown, now), (now, shown)))
            differing.append(f"{path.name}, Cell #{cell.idx_ + 1} is shown with {lost!r}, and prints {new!r}: run it again")

    CaptureShell.cell = cell
    return differing


def _test(path: Path, said: Path) -> None:
    """In the fork: run a notebook as nbdev_test does, its output into a file; exit status 1 if it fails or shows old outputs."""
    from nbdev.test import test_nb

    multiprocessing.set_start_method(None, force=True)  # processes of the notebook start as they do anywhere
    os.chdir(ROOT)
    with said.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    differing = _differing(path)
    passed, _ = test_nb(path, skip_flags=get_config().tst_flags.split(), basepath=get_config().config_path)
    print(*differing, sep="\n", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(not passed or bool(differing))


def run_notebook(path: Path) -> subprocess.CompletedProcess:
    """Run a notebook in a process of its own; on failure its output names the notebook and the cell and has the traceback."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "said")
        said.touch()
        process = forked(_test, path, said)
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{path} took more than {TIMEOUT_S} s\n{said.read_text(errors='replace')}")
        return subprocess.CompletedProcess(path, process.exitcode, "", said.read_text(encoding="utf-8", errors="replace"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to(NBS).with_suffix("")))
def test_notebook(path):
    run = run_notebook(path)
    if run.returncode:
        pytest.fail(f"{path.relative_to(ROOT)} (exit status {run.returncode})\n{run.stdout}{run.stderr}", pytrace=False)


@pytest.fixture
def notebook(tmp_path):
    """A function that writes code cells into a notebook."""

    def write(*sources):
        path = tmp_path / "made_up.ipynb"
        write_nb(new_nb([mk_cell(source) for source in sources]), path)
        return path

    return write


def test_failure_is_reported(notebook):
    run = run_notebook(notebook("x = 1", "assert x == 2, 'x is not two'"))
    assert run.returncode == 1
    for part in ("made_up.ipynb", "Cell #2", "Traceback", "x is not two"):
        assert part in run.stderr


def test_flagged_cells_are_skipped(notebook):
    assert get_config(path=ROOT).tst_flags.split() == ["slow", "gpu"]
    assert run_notebook(notebook("#| slow\n1 / 0", "#| gpu\n1 / 0", "#| eval: false\n1 / 0")).returncode == 0
