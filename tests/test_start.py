"""Nothing keeps a person waiting who only asks: importing the package, and the help of every command."""

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
