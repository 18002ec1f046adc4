"""Look around in the features of a corpus, in JupyterLab, VS Code or a page of its own (`layerwise_explore`)."""

from importlib import import_module

from .._moved import moved_name

_HOME = {
    "LayerExplorer": "layer",
    "SimilarityExplorer": "similarity",
    "TemporalExplorer": "temporal",
    "ContentExplorer": "content",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        return moved_name("explorers", name)
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
