"""See inside self-supervised speech models, layer by layer: extract, compare, explore.

    import layerwise_nb as lw

The names to start with; each is imported when it is first used, so that the import itself takes no time. Everything else is
in the modules: commands on top, and folders in the order in which they build on each other.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import _moved

__version__ = "0.1.0"

_moved.install()

if TYPE_CHECKING:  # for editors and type checkers; at run time `__getattr__` does this, name by name
    from .corpus.aligned import AlignedCorpus as AlignedCorpus

# name -> the module that has it
_HOME = {
    "AlignedCorpus": "corpus.aligned",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
