"""`python -m slowly extract …`: a command that takes a second after each file, so that there is time to end it."""

import runpy
import sys

from running import slow_files

if __name__ == "__main__":
    slow_files(1.0)
    module = sys.argv.pop(1)
    runpy.run_module(f"layerwise_nb.{module}", run_name="__main__")
