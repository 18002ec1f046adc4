"""See inside self-supervised speech models, layer by layer: extract, compare, explore.

    import layerwise_nb as lw

The names to start with; each is imported when it is first used, so that the import itself takes no time. Everything else is
in the modules: commands on top, and folders in the order in which they build on each other.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import _moved

__version__ = "0.2.0"

_moved.install()

if TYPE_CHECKING:  # for editors and type checkers; at run time `__getattr__` does this, name by name
    from .analyses.similarity import measure as measure
    from .analyses.study import summarize as summarize
    from .labels.alignment import read_alignment as read_alignment
    from .content_analysis.analyze import analyze_content as analyze_content
    from .corpus.aligned import AlignedCorpus as AlignedCorpus
    from .corpus.torch_dataset import FeatureDataset as FeatureDataset
    from .corpus.labeled import LabeledFeatures as LabeledFeatures
    from .corpus.recording import find_recording as find_recording
    from .summaries.summary import CorpusSummary as CorpusSummary
    from .dynamics.lags import lagged_cka as lagged_cka
    from .dynamics.statistics import TemporalStatistics as TemporalStatistics
    from .dynamics.windows import windowed_cka as windowed_cka
    from .explorers.content import ContentExplorer as ContentExplorer
    from .explorers.layer import LayerExplorer as LayerExplorer
    from .explorers.similarity import SimilarityExplorer as SimilarityExplorer
    from .explorers.temporal import TemporalExplorer as TemporalExplorer
    from .extract import extract as extract_features  # noqa: F401
    from .features.store import FeatureStore as FeatureStore
    from .figures.heatmap import heatmap as heatmap
    from .measures.bootstrap import bootstrap_difference as bootstrap_difference
    from .measures.bootstrap import bootstrap_matrix as bootstrap_matrix
    from .measures.matrix import layer_curve as layer_curve
    from .measures.linear import linear_cka as linear_cka
    from .measures.matrix import similarity_matrix as similarity_matrix
    from .measures.null import circular_shift_null as circular_shift_null
    from .measures.propagation import input_propagation as input_propagation
    from .models.load import load_model as load_model

# name -> the module that has it, and its name there if that is another
_HOME = {
    "AlignedCorpus": "corpus.aligned",
    "analyze_content": "content_analysis.analyze",
    "bootstrap_difference": "measures.bootstrap",
    "bootstrap_matrix": "measures.bootstrap",
    "circular_shift_null": "measures.null",
    "ContentExplorer": "explorers.content",
    "CorpusSummary": "summaries.summary",
    "extract_features": "extract:extract",
    "FeatureDataset": "corpus.torch_dataset",
    "FeatureStore": "features.store",
    "find_recording": "corpus.recording",
    "heatmap": "figures.heatmap",
    "input_propagation": "measures.propagation",
    "lagged_cka": "dynamics.lags",
    "LabeledFeatures": "corpus.labeled",
    "layer_curve": "measures.matrix",
    "LayerExplorer": "explorers.layer",
    "linear_cka": "measures.linear",
    "load_model": "models.load",
    "measure": "analyses.similarity",
    "read_alignment": "labels.alignment",
    "similarity_matrix": "measures.matrix",
    "SimilarityExplorer": "explorers.similarity",
    "summarize": "analyses.study",
    "TemporalExplorer": "explorers.temporal",
    "TemporalStatistics": "dynamics.statistics",
    "windowed_cka": "dynamics.windows",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        module, _, renamed = _HOME[name].partition(":")
        value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), renamed or name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
