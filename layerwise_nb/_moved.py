"""Where the modules and names of release 0.1 went: old imports go on, through one table and one finder.

Written by hand. `MOVED` names, for each module that is gone, the modules that have its contents now; `RENAMED` the few
public names that changed, `GONE` what serves instead of those that are no more. A module that is still there but gave something away, such as `layerwise_nb.audio`, which is a
folder today, asks `moved_name` in its `__getattr__`.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = __name__.rpartition(".")[0]

# module of release 0.1 -> the modules of today that have its names
MOVED = {
    "accumulate": ("summaries.accumulate",),
    "alignment": ("labels.intervals", "labels.textgrid", "labels.label_files", "labels.alignment"),
    "animate": ("animations.render",),
    "arrays": ("core.arrays",),
    "audio": ("audio.files", "audio.utterances", "audio.loading", "audio.decode", "audio.containers"),
    "bench_animate": ("benchmarks.animation",),
    "bench_explore": ("explorers.server", "benchmarks.explorers"),
    "bench_extract": ("benchmarks.extraction",),
    "bench_moments": ("benchmarks.moments",),
    "bench_similarity": ("benchmarks.similarity",),
    "benchmark": ("benchmarks.tool",),
    "boundaries": ("dynamics.boundaries",),
    "corpus": ("corpus.aligned",),
    "dashboard": ("analyses.page",),
    "download": ("audio.librispeech",),
    "dynamics": ("dynamics.change",),
    "engine": ("extraction.engine",),
    "explore": ("explorers.server",),
    "explorers": ("explorers.layer", "explorers.similarity", "explorers.temporal"),
    "extract": (
        "extraction.progress",
        "extraction.settings",
        "extraction.distributed",
        "extraction.prepare",
        "extraction.resume",
    ),
    "film": ("animations.animation", "figures.specification"),
    "film_page": ("animations.page",),
    "frame_pairs": ("measures.pairwise",),
    "frames": ("features.frame_grid", "features.catalogue"),
    "independence": ("measures.null",),
    "lag_plots": ("figures.old_names",),
    "lags": ("dynamics.lags",),
    "layers": ("features.catalogue",),
    "models": ("models.family", "models.load"),
    "moments": ("measures.moments", "measures.frame_sums"),
    "pipeline": ("report.pipeline", "analyses.study", "analyses.analysis", "analyses.finished"),
    "plan": ("core.machine", "extraction.plan", "extraction.launch"),
    "plots": (
        "figures.style",
        "figures.figure",
        "figures.matplotlib_renderer",
        "figures.plotly_renderer",
        "figures.old_names",
        "figures.curves",
    ),
    "pooling": ("dynamics.pooling",),
    "propagation": ("measures.propagation",),
    "reservoir": ("summaries.reservoir",),
    "second_moments": ("core.checks", "measures.second_moments", "measures.gram"),
    "segments": ("audio.segments",),
    "similarity": ("measures.matrix", "measures.registry", "measures.linear", "measures.geometry", "measures.pairwise"),
    "similarity_analysis": ("core.commands", "analyses.similarity", "analyses.study", "analyses.analysis", "similarity"),
    "sound": ("audio.spectrogram", "corpus.recording"),
    "store": ("features.npz", "features.run_folder", "features.store", "core.files"),
    "summary": ("summaries.summary",),
    "synthetic": ("audio.synthesizer", "audio.synthetic"),
    "temporal": (
        "dynamics.statistics",
        "dynamics.change",
        "dynamics.boundaries",
        "dynamics.windows",
        "dynamics.lags",
        "dynamics.pooling",
    ),
    "temporal_analysis": ("analyses.utterance", "temporal"),
    "temporal_plots": ("figures.matplotlib_renderer", "figures.panels", "figures.old_names"),
    "uncertainty": ("measures.bootstrap", "measures.null"),
    "verify": ("features.npz",),
    "views": ("audio.synthetic", "explorers.views"),
    "widgets": ("explorers.widgets", "explorers.base"),
    "windows": ("dynamics.windows",),
}

# "module:name" of release 0.1 -> "module:name" of today, where the name changed
RENAMED = {
    "animate:draw_film": "animations.render:draw_animation",
    "bench_animate:example_films": "benchmarks.animation:example_animations",
    "benchmark:measure": "benchmarks.tool:measure",
    "dynamics:CentredFrames": "dynamics.change:CenteredFrames",
    "dynamics:centred_frames": "dynamics.change:centered_frames",
    "dynamics:clock": "dynamics.change:frame_timing",
    "film:Film": "animations.animation:AnimationData",
    "film:layer_colours": "animations.animation:layer_colors",
    "film_page:film_page": "animations.page:animation_page",
    "frame_pairs:knn_signature": "measures.pairwise:knn_prepared",
    "frame_pairs:rbf_signature": "measures.pairwise:rbf_prepared",
    "frame_pairs:rsa_signature": "measures.pairwise:rsa_prepared",
    "pipeline:Analysis": "analyses.study:Study",
    "pipeline:PARTS": "report.pipeline:ANALYSES",
    "pipeline:Part": "analyses.analysis:Analysis",
    "plots:GREY": "figures.style:GRAY",
    "second_moments:CentredLayer": "measures.second_moments:CenteredLayer",
    "second_moments:CentredPair": "measures.second_moments:CenteredPair",
    "second_moments:centred_layer": "measures.second_moments:centered_layer",
    "second_moments:centred_pair": "measures.second_moments:centered_pair",
    "second_moments:check_share": "core.checks:check_range",
    "similarity_analysis:analyse_difference": "analyses.comparison:analyze_difference",
    "similarity_analysis:analyse_similarity": "analyses.similarity:analyze_similarity",
    "similarity_analysis:analyse_summary": "analyses.matrices:analyze_summary",
    "similarity_analysis:measure": "analyses.similarity:measure",
    "similarity_analysis:summarise": "analyses.study:summarize",
    "sound:Sound": "corpus.recording:Recording",
    "sound:find_sound": "corpus.recording:find_recording",
    "temporal:clock": "dynamics.change:frame_timing",
    "temporal_analysis:analyse_time": "analyses.utterance:analyze_time",
    "visualize:report": "visualize:print_result",
}

# "module:name" of release 0.1 -> what serves instead
GONE = {
    "audio:speaker_chapter": "who speaks is asked of layerwise_nb.audio.speakers",
    "bench_extract:BARE": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "bench_extract:ExtractBench": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "bench_extract:SCHEDULED": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "bench_extract:Timing": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "bench_extract:USUAL": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "bench_extract:bench_json": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "bench_extract:format_bench": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "bench_extract:time_contender": "benchmarks share `Row` and `take_turns` of layerwise_nb.benchmarks.tool",
    "frames:TRANSFORMER_GRID": "every features folder has its own grid, `AlignedCorpus(folder).grid`",
    "models:FAMILY": "`layerwise_nb.models.load.FAMILIES` lists the families",
    "plots:Cells": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "plots:draw_cells": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "plots:draw_groups": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "plots:plotly_cells": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "plots:plotly_groups": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "plots:plotly_line": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "temporal_plots:plotly_labels": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "temporal_plots:write_labels": "figures are specifications now, drawn by layerwise_nb.figures.figure",
    "verify:store_catalogue": "`FeatureStore(folder).catalogue` is read from run.json",
    "widgets:MATRIX_MARGIN": "figures of explorers are specifications, which have their own margins",
    "widgets:alone": "explorers see to it themselves",
    "widgets:said": "explorers see to it themselves",
}


def moved_name(module: str, name: str):
    """What `layerwise_nb.<module>.<name>` of release 0.1 is today; an AttributeError that says what to use otherwise."""
    if name.startswith("__"):
        raise AttributeError(f"module '{PACKAGE}.{module}' has no attribute {name!r}")
    home, _, renamed = RENAMED.get(f"{module}:{name}", "").partition(":")
    for place in [home] if home else MOVED.get(module, ()):
        found = import_module(f"{PACKAGE}.{place}")
        if hasattr(found, renamed or name):
            return getattr(found, renamed or name)
    places = ", ".join(f"{PACKAGE}.{place}" for place in MOVED.get(module, ())) or PACKAGE
    instead = GONE.get(f"{module}:{name}", f"its contents are now in {places}")
    raise AttributeError(f"module '{PACKAGE}.{module}' has no attribute {name!r}: {instead}")


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
        """For `python -m`."""
        return _as_main.__code__


def _as_main():
    from runpy import run_module

    from layerwise_nb._moved import MOVED

    command = next(place for place in MOVED[__spec__.name.rpartition(".")[2]] if "." not in place)  # noqa: F821
    run_module(f"layerwise_nb.{command}", run_name="__main__", alter_sys=True)


def install() -> None:
    """Put the finder behind the others, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
