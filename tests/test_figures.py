"""Figures by both renderers: any text letter by letter, layers that can be told apart and read, contrast, the numbers beside."""

import csv
import io
import shutil
import warnings
from itertools import combinations, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from layerwise_nb.corpus.recording import Recording
from layerwise_nb.figures.content import class_tree, confusion, property_curve, variance_areas
from layerwise_nb.figures.curves import autocorrelation_curves, distribution, lag_curves, layer_curves, spectrum
from layerwise_nb.figures.heatmap import heatmap, lead_heatmap
from layerwise_nb.figures.panels import Curves, activity_panel, self_similarity_panels, time_panels
from layerwise_nb.figures.specification import FigureSpec
from layerwise_nb.figures.style import layer_labels, missing_font, plain
from layerwise_nb.labels.alignment import Interval
from layerwise_nb.measures.matrix import SimilarityMatrix

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# What a label may hold: markup, entities, mathematics, templates, quotes, other scripts, control characters, much, little.
TEXTS = {
    "markup": ["<s>", "</s>", "<b>bold</b>", "<unk>", "<br>"],
    "entities": ["A&B", "A&amp;B", "&#36;", "&lt;s&gt;"],
    "mathematics": ["$", "$$", "$5-$10", "w$a_$0", r"\alpha", "x^2", "a_b"],
    "templates": ["%{x}", "%{customdata}", "{0}", "{{ x }}", "%s", "${x}"],
    "quotes": ['say "so"', "it's", "`code`"],
    "scripts": ["日本語", "हिन्दी", "العربية", "ɑː", "ʃ", "한국어", "Ünïcödé", "😀"],
    "controls": ["a\nb", "tab\there", " ", "…"],
    "lengths": ["x" * 70, "1", "0.5", "transformer_layer_3 and much more of a name"],
}
rng = np.random.default_rng(0)


def figures(texts: list[str]) -> dict[str, FigureSpec]:
    """Every kind of figure, with these texts as layers, curves, classes, labels and headings."""
    n, first = len(texts), texts[0]
    square, ends = rng.random((n, n)), np.linspace(0, 2, n + 1)
    labels = [Interval(a, b, text, first) for (a, b), text in zip(pairwise(ends), texts, strict=True)]
    recording = Recording(0.1 * rng.standard_normal(32_000), 16_000, labels)
    times, values = np.arange(0.01, 1.99, 0.02), rng.random((n, 99))
    names, dims = tuple(texts), (4,) * n
    itself = SimpleNamespace(times=times, values=rng.uniform(-1, 1, (99, 99)), frame_rate=50.0, notes=())
    lags = SimpleNamespace(layers=names, lags_s=np.arange(-3, 4) / 50, values=rng.random((7, n, n)), n=9, notes=())
    rows = [dict(target=first, measure=first, layer=text, kind="layer", value=0.5, n=9) for text in texts]
    curves = {text: (times, row) for text, row in list(zip(texts, values, strict=True))[:6]}
    return {
        "heatmap": heatmap(SimilarityMatrix(names, names, square, "linear_cka", first, 9, dims, dims), None, first),
        "leads": lead_heatmap(names, square - 0.5, context=first, details=texts),
        "layer curves": layer_curves(texts, {text: values[:, 0] for text in texts[:6]}, first, first, texts),
        "distribution": distribution(texts, (0.1, 0.5, 0.9), np.sort(rng.random((n, 3))), texts, first, first),
        "autocorrelation": autocorrelation_curves(curves, first),
        "lags": lag_curves(lags, [(texts[0], texts[1])], first),
        "spectrum": spectrum(np.linspace(1, 0, 5), (texts[0], texts[1]), 9, (4, 4), None, first),
        "time": time_panels([Curves(first, first, curves), activity_panel(texts, times, values, first)], first, recording),
        "self-similarity": self_similarity_panels(itself, first, first, recording),
        "property": property_curve(rows, first),
        "confusion": confusion(rng.integers(1, 9, (n, n)), texts, first, first),
        "tree": class_tree(rng.standard_normal((n, 3)), texts, first, first),
        "areas": variance_areas(texts, {text: np.full(n, 0.1) for text in texts[:6]}, first),
    }


KINDS = list(figures(["a", "b"]))


def written(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}


@pytest.mark.parametrize("kind", TEXTS)
def test_any_text_letter_by_letter(kind):
    texts = TEXTS[kind]
    for name, spec in figures(texts).items():
        static = spec.matplotlib()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # none for a missing glyph either: the heading says it
            if kind in ("mathematics", "scripts", "controls", "lengths"):
                static.draw_without_rendering()
        shown = written(static)
        axes = [axis for panel in spec.panels for axis in (panel.x, panel.y) if axis.names]
        for axis in axes:  # as many different labels as names, those that are written as they are
            assert len(set(axis.labels)) == len(texts), (name, kind)
            assert len(shown & set(axis.labels)) >= min(len(texts), 3), (name, kind, axis.labels)
        if missing_font(texts):
            assert "install Noto Sans" in " ".join(shown), (name, kind)
        interactive = spec.plotly().to_plotly_json()
        told = list(strings(interactive["data"])) + list(strings(interactive["layout"]))
        assert not any("$" in text for text in told), (name, kind)
        for text in texts:
            if "<" in text and text != "<br>":  # which parts lines
                assert not any(text in one for one in told), (name, kind, text)


def strings(value):
    """All texts in what plotly is told, the template and pictures apart."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            if key not in ("template", "hovertemplate", "texttemplate"):
                yield from strings(one)
    elif isinstance(value, (list, tuple, np.ndarray)) and not (isinstance(value, np.ndarray) and value.dtype.kind in "fiub"):
        for one in value:
            yield from strings(one)


HUBERT = ["conv_0", "after_projection", "transformer_input", *(f"transformer_layer_{i}" for i in range(12))]


@pytest.mark.parametrize("names", [HUBERT, *([f"encoder.layers.{i}.final_layer_norm" for i in range(n)] for n in (23, 59, 121))],
                         ids=len)  # fmt: skip
def test_written_names_do_not_overlap(names):
    n = len(names)
    assert len(set(layer_labels(names))) == n
    for name in ("heatmap", "layer curves", "time"):
        figure = figures(names)[name].matplotlib()
        canvas, short = FigureCanvasAgg(figure), set(layer_labels(names))
        canvas.draw()
        for ax in figure.axes:
            if legend := ax.get_legend():
                assert legend.get_window_extent().x1 <= figure.bbox.x1, (name, n)
            if ax.yaxis.label.get_rotation() == 0:  # the name of a tier of labels, beside it
                assert ax.yaxis.label.get_window_extent().x1 <= ax.bbox.x0, (name, n)
            for axis in (ax.xaxis, ax.yaxis):
                ticks = [tick.label1 for tick in axis.get_major_ticks() if tick.label1.get_text() in short]
                boxes = [text.get_window_extent(canvas.get_renderer()) for text in ticks]
                assert not any(a.overlaps(b) for a, b in pairwise(boxes)), (name, n)
                assert not ticks or all(text.get_size() >= 7 for text in ticks)


def test_the_numbers_lie_beside():
    for name, spec in figures(["<s>", "a,b", 'c"d', "e\nf"]).items():
        table = list(csv.DictReader(io.StringIO(spec.numbers())))
        assert table and list(table[0]) == ["panel", "series", "x", "value", "low", "high", "note"], name


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome: apt-get install -y chromium")
def test_a_browser_shows_the_letters(tmp_path):
    from playwright.sync_api import sync_playwright

    texts = [text for kind in ("markup", "entities", "mathematics", "templates", "quotes") for text in TEXTS[kind]]
    spec = confusion(np.eye(len(texts)), texts, "<b>$x$</b> & more", "%{x} <i>")
    (path,) = spec.save(tmp_path / "odd", "html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector(".xtick")
        for axis in ("x", "y"):
            ticks = page.eval_on_selector_all(f".{axis}tick text", "all => all.map(one => one.textContent)")
            assert sorted(ticks) == sorted(texts)
        assert page.text_content(".gtitle").startswith("<b>$x$</b> & more%{x} <i>")
        tools = page.eval_on_selector_all(".modebar-btn", "all => all.map(one => one.dataset.title)")
        assert "Zoom" in tools and not any("hare" in tool or "elect" in tool for tool in tools), tools  # nothing is sent
        browser.close()


def test_layers_that_differ_have_labels_that_differ():
    for a, b in combinations([text for texts in TEXTS.values() for text in texts], 2):
        assert len(set(layer_labels([a, b]))) == 2
    assert plain("a\nb") == "a↵b"
