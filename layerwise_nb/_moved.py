"""Where the modules and names of release 0.1 went: old imports go on, through one table and one finder.

Written by hand. `MOVED` names, for each module that is gone, the modules that have its contents now; `RENAMED` the few
public names that changed. A module that is still there but gave something away, such as `layerwise_nb.audio`, which is a
folder today, asks `moved_name` in its `__getattr__`.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = __name__.rpartition(".")[0]

# module of release 0.1 -> the modules of today that have its names
MOVED = {}

# "module:name" of release 0.1 -> "module:name" of today
RENAMED = {"audio:speaker_chapter": "audio.speakers:layout_speaker"}


def moved_name(module: str, name: str):
    """What `layerwise_nb.<module>.<name>` of release 0.1 is today; an AttributeError where there is no such thing."""
    if not name.startswith("__"):
        home, _, renamed = RENAMED.get(f"{module}:{name}", "").partition(":")
        for place in [home] if home else MOVED.get(module, ()):
            found = import_module(f"{PACKAGE}.{place}")
            if hasattr(found, renamed or name):
                return getattr(found, renamed or name)
    places = ", ".join(f"{PACKAGE}.{place}" for place in MOVED.get(module, ())) or PACKAGE
    raise AttributeError(f"module '{PACKAGE}.{module}' has no attribute {name!r}; its contents are now in {places}")


def door(module: str):
    """The `__getattr__` of a module that gave names away; what lies in the folder itself is found first."""

    def get(name: str):
        return moved_name(module, name)

    return get


class _OldModule(ModuleType):
    def __getattr__(self, name: str):
        if name == "__path__":  # not a package: importing something below it says so
            raise AttributeError(name)
        return moved_name(self.__name__.removeprefix(f"{PACKAGE}."), name)

    def __dir__(self) -> list[str]:
        places = MOVED[self.__name__.removeprefix(f"{PACKAGE}.")]
        return sorted({name for place in places for name in import_module(f"{PACKAGE}.{place}").__all__})


class _Finder(MetaPathFinder, Loader):
    """Asked after all others: it knows the modules that are gone."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        head, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if head == PACKAGE and name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _OldModule(spec.name, f"Moved to {', '.join(MOVED[spec.name.rpartition('.')[2]])}.")

    def exec_module(self, module: ModuleType) -> None:
        pass

    def get_code(self, fullname: str):
        """For `python -m`: the command that was in the module."""
        command = next(p for p in MOVED[fullname.rpartition(".")[2]] if "." not in p)
        run = f"import runpy; runpy.run_module({PACKAGE + '.' + command!r}, run_name='__main__', alter_sys=True)"
        return compile(run, fullname, "exec")


def install() -> None:
    """Put the finder behind the others, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
