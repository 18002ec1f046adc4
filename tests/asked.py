"""What commands answer to calls that cannot be carried out, and what they load for it: a program that test_start.py runs.

Reads calls (command, then its flags) as JSON; writes for each its exit status, what it said, what it loaded, and its seconds of
processor time. All commands are imported once, and each call runs in a fork of that: it costs only what it does itself.
"""

import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback
from pathlib import Path

SLOW_TO_IMPORT = ("torch", "transformers", "torchaudio", "accelerate", "sklearn", "pandas", "datasets", "matplotlib",
                  "plotly", "IPython", "jupyterlab", "voila")  # fmt: skip

LIMIT_S = 20  # of the clock; a command that works on is ended


def loaded() -> list[str]:
    """Which of the slow packages are there."""
    return [name for name in SLOW_TO_IMPORT if name in sys.modules]


def answer(module: str, flags: list[str]) -> int:
    """Run a command as `python -m` does."""
    sys.argv = [f"layerwise_{module}", *flags]
    sys.modules.pop(f"layerwise_nb.{module}")  # it is run, not imported
    try:
        runpy.run_module(f"layerwise_nb.{module}", run_name="__main__")
    except SystemExit as ending:
        return 0 if ending.code is None else ending.code
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def ask(module: str, flags: list[str]) -> dict:
    """The answer of a fork of this process."""
    with tempfile.TemporaryDirectory() as tmp:
        said, facts = Path(tmp, "said"), Path(tmp, "facts")
        if (child := os.fork()) == 0:
            signal.alarm(LIMIT_S)
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            status = answer(module, flags)
            sys.stdout.flush()
            facts.write_text(json.dumps([status, loaded()]))
            os._exit(0)
        usage = os.wait4(child, 0)[2]
        status, there = json.loads(facts.read_text()) if facts.exists() else (71, [])
        return {"status": status, "said": said.read_text(), "loaded": there, "seconds": usage.ru_utime + usage.ru_stime}


if __name__ == "__main__":
    calls = json.load(sys.stdin)
    for module in {module for module, *_ in calls}:
        importlib.import_module(f"layerwise_nb.{module}")
    assert not loaded(), loaded()
    json.dump([ask(module, flags) for module, *flags in calls], sys.stdout)
