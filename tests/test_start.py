"""Nothing keeps a person waiting who only asks: importing the package, and the help of every command."""

import os
import resource
import subprocess
import sys

import pytest
from test_project import COMMANDS, ROOT


def processor_time(*arguments: str) -> tuple[float, str]:
    """Seconds of processor time that Python takes for this (not of the clock: other tests may be running), and its output."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return used() - before, run.stdout


def within(limit_s: float, *arguments: str) -> bool:
    """Whether one run of three takes no longer."""
    return any(processor_time(*arguments)[0] < limit_s for _ in range(3))


def test_import():
    bare = min(processor_time("-c", "pass")[0] for _ in range(3))
    assert within(bare + 0.1, "-c", "import layerwise_nb")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_at_once_and_gives_an_example(command):
    arguments = ("-m", COMMANDS[command].split(":")[0], "--help")
    said = " ".join(processor_time(*arguments)[1].split())
    assert f"Example: {command} " in said, said
    assert within(1.0, *arguments)  # half of it where nothing else runs; torch alone would take three


INVALID = {  # what is wrong -> the call; each is found before torch or a model is loaded
    "extract: no such folder": ("extract", "--audio_dir", "/no/such/folder", "--save_dir", "x"),
    "extract: no such kind of number": ("extract", "--audio_dir", "synthetic", "--save_dir", "x", "--dtype", "int8"),
    "run: no such folder": ("run", "--audio_dir", "/no/such/folder", "--output_dir", "x"),
    "run: no such analysis": ("run", "--output_dir", "x", "--only", "nope"),
    "run: no such flag": ("run", "--nope"),
    "similarity: no such folder": ("similarity", "--features_dir", "/no/such/folder", "--output_dir", "x"),
    "temporal: no such folder": ("temporal", "--features_dir", "/no/such/folder", "--output_dir", "x"),
    "content: no such folder": ("content", "--features_dir", "/no/such/folder", "--output_dir", "x"),
    "visualize: no such folder": ("visualize", "--features_dir", "/no/such/folder", "--output_dir", "x"),
}


@pytest.mark.parametrize("call", INVALID.values(), ids=INVALID)
def test_invalid_arguments_are_answered_at_once(call, tmp_path):
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    while not times or (min(times) >= 1 and len(times) < 3):
        before = used()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = subprocess.run([sys.executable, "-m", f"layerwise_nb.{call[0]}", *call[1:]], cwd=tmp_path, env=environment,
                             capture_output=True, text=True)  # fmt: skip
        times.append(used() - before)
        assert run.returncode == 2 and run.stderr.strip(), run.stderr
    assert min(times) < 1, times
