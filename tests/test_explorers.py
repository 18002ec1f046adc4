"""The explorers in JupyterLab, in a real browser: every control is used, and what is drawn is checked against the numbers."""

import io
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree, which
from urllib.request import urlopen

import nbformat
import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs
from running import TIMEOUT_S, extract, features_dir, free_port, noises
from test_families import checkpoint

from layerwise_nb.audio.synthetic import made_up_features, make_corpus
from layerwise_nb.benchmarks.explorers import BROWSER_OPTIONS, BROWSERS, find_browser, many_utterances
from layerwise_nb.corpus.aligned import AlignedCorpus
from layerwise_nb.dynamics.lags import lagged_cka
from layerwise_nb.dynamics.windows import windowed_cka
from layerwise_nb.explorers.base import Explorer
from layerwise_nb.explorers.content import ContentExplorer
from layerwise_nb.explorers.content_source import ExploredContent
from layerwise_nb.explorers.content_views import LayerContent, layer_content
from layerwise_nb.explorers.layer import LayerExplorer
from layerwise_nb.explorers.similarity import SimilarityExplorer
from layerwise_nb.explorers.temporal import TemporalExplorer
from layerwise_nb.explorers.views import Reader, pair_steps, sample_frames, subset_rows
from layerwise_nb.explorers.widgets import static
from layerwise_nb.measures.matrix import similarity_matrix

TOKEN, BASE_URL = "of-this-test", "/user/x/"  # as a JupyterHub serves it
FAMILIES = {"whisper": 16_000, "w2v-bert": 16_000, "mimi": 24_000}  # of small random models: sample rate
CELLS = {
    "moment": "LayerExplorer('speech', save_dir='saved')",
    "similarity": "SimilarityExplorer('first', 'second', n_frames=300, save_dir='saved')",
    "time": "TemporalExplorer('first', window_s=0.4, save_dir='saved')",
    "content": "ContentExplorer('spoken', layer='conv_5', save_dir='saved')",
    "many": "SimilarityExplorer('many', n_frames=300, n_utterances=0)",
    "gone": "LayerExplorer('gone')",
    "busy": "LayerExplorer('first')",
    "codec": "LayerExplorer('mimi')",
}
AFTER = {"busy": "import time; time.sleep(5)"}  # the kernel has no time for the page when it needs it
pytestmark = pytest.mark.skipif(not any(map(which, BROWSERS)), reason="no browser: apt-get install chromium")


def extracted(kind: str, folder: Path) -> Path:
    "Features of labeled speech by a small random model of a family."
    import torch

    from layerwise_nb.extract import extract as extract_here

    torch.manual_seed(0)
    model, extractor = checkpoint(kind)
    model.save_pretrained(folder / kind)
    extractor.save_pretrained(folder / kind)
    flags = dict(audio_dir="synthetic", model=str(folder / kind), save_dir=str(folder / "out"), device="cpu", num_files=2)
    return extract_here(**flags)["features_dir"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Features with sound, features of two made-up models, and a notebook for each explorer."
    folder = tmp_path_factory.mktemp("lab")
    audio = noises(folder / "audio", [1.0, 1.2, 1.1])
    assert extract("--audio_dir", audio, "--save_dir", folder / "out", "--model", "random:tiny").status == 0
    (folder / "speech").symlink_to(features_dir(folder / "out"))
    for seed, name in enumerate(("first", "second", "gone")):
        made_up_features(folder / name, n_utterances=12, seed=seed)
    many_utterances(folder / "first", folder / "many", 3000)
    speech = make_corpus(folder / "corpus", n_speakers=3, n_utterances=6, max_s=3)
    made_up_features(folder / "spoken", audio_dir=speech)
    for kind in FAMILIES:
        (folder / kind).symlink_to(extracted(kind, tmp_path_factory.mktemp(kind)))
    for name, call in CELLS.items():
        code = f"from layerwise_nb.explorers import *\n\nexplorer = {call}\nexplorer"
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [nbformat.v4.new_code_cell(source) for source in (code, AFTER.get(name, ""))]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(folder):
    "The address of a JupyterLab in the folder."
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}", "--expose-app-in-browser",
               f"--ServerApp.base_url={BASE_URL}",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--log-level=ERROR"]  # fmt: skip
    server = subprocess.Popen(command, cwd=folder, start_new_session=True)
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}{BASE_URL}api?token={TOKEN}", timeout=TIMEOUT_S)
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < end, "JupyterLab never answered"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}{BASE_URL}lab/tree"
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(TIMEOUT_S)


class Page:
    "A notebook in the browser, its explorer drawn."

    def __init__(self, page, address: str):
        self.page, self.errors, self.elsewhere = page, [], []
        page.set_default_timeout(1000 * TIMEOUT_S)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.route("**/*", self._local_only)
        page.goto(address)
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_selector(".layerwise-explorer .js-plotly-plot .main-svg")

    def _local_only(self, route):
        if route.request.url.startswith(("http://127.0.0.1", "data:", "blob:")):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def control(self, label: str, kind: str = "select"):
        "A control by what stands before it."
        return self.page.locator(f'.layerwise-explorer .widget-inline-hbox:has(label:text-is("{label}")) {kind}')

    def slide(self, label: str, key: str) -> None:
        self.control(label, ".noUi-handle").press(key)

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def drawn(self, plot: int, trace: int, key: str) -> np.ndarray:
        code = f"""() => {{
          const values = document.querySelectorAll('.js-plotly-plot')[{plot}]?._fullData?.[{trace}]?.{key} ?? [];
          return Array.from(values, row => ArrayBuffer.isView(row) || Array.isArray(row) ? Array.from(row) : row);
        }}"""
        return np.array(self.page.evaluate(code), float)

    def shows(self, plot: int, trace: int, key: str, expected, atol: float = 1e-4) -> None:
        "Wait until a figure shows these numbers."
        expected, end, found = np.asarray(expected, float), time.monotonic() + TIMEOUT_S, None
        while time.monotonic() < end:
            found = self.drawn(plot, trace, key)
            if found.shape == expected.shape and np.allclose(found, expected, rtol=1e-4, atol=atol, equal_nan=True):
                return
            time.sleep(0.1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)

    def cursor(self, plot: int = 0, shape: int = 0, key: str = "x0") -> float:
        return self.page.evaluate(f"document.querySelectorAll('.js-plotly-plot')[{plot}].layout.shapes[{shape}].{key}")

    def place(self, plot: int, x: float, y: float, axes: str = "") -> list[float]:
        "Where in the window a point of a figure is."
        code = """([i, x, y, n, m]) => {
          const plot = document.querySelectorAll('.js-plotly-plot')[i]; plot.scrollIntoView({ block: 'center' });
          const box = plot.getBoundingClientRect(), across = plot._fullLayout['xaxis' + n], down = plot._fullLayout['yaxis' + m];
          return [box.left + across._offset + across.d2p(x), box.top + down._offset + down.d2p(y)];
        }"""
        across = "" if plot == 0 else axes
        return self.page.evaluate(code, [plot, x, y, across, axes])

    def moves_to(self, time_s: float, plot: int = 0, within: float = 0.03) -> None:
        "Wait until the cursor of a figure is at a moment."
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            if abs(self.cursor(plot) - time_s) < within:
                return
            time.sleep(0.1)
        assert abs(self.cursor(plot) - time_s) < within, f"{self.cursor(plot)} instead of {time_s}"

    def click_until(self, where: list[float], answered: Callable[[], bool]) -> None:
        "Click a point until the explorer answers: a press that comes while the page has no time at all reaches no one."
        for _ in range(10):
            self.page.mouse.move(where[0] - 3, where[1])
            self.page.mouse.move(*where)
            self.page.mouse.click(*where)
            for _ in range(60):
                if answered():
                    return
                time.sleep(0.1)
        assert answered(), f"no answer to a click at {where}"

    def told(self, text: str) -> Callable[[], bool]:
        "Whether the explorer shows a text."
        return lambda: self.page.locator(f'.layerwise-explorer :text("{text}")').count() > 0

    def says(self, what: str) -> None:
        self.page.wait_for_selector(f'.layerwise-explorer :text("{what}")')


@pytest.fixture
def open_notebook(lab):
    "Open a notebook and run it; at the end nothing went wrong in the page, and it asked no other machine for anything."
    pages = []
    with sync_playwright() as p:
        args = [*BROWSER_OPTIONS, "--autoplay-policy=no-user-gesture-required"]
        browser = p.chromium.launch(executable_path=find_browser(), args=args)
        context = browser.new_context(viewport={"width": 1366, "height": 900}, permissions=["clipboard-read", "clipboard-write"])

        def open_it(name: str) -> Page:
            pages.append(Page(context.new_page(), f"{lab}/{name}.ipynb?reset&token={TOKEN}"))
            return pages[-1]

        yield open_it
        browser.close()
    for page in pages:
        assert page.elsewhere == []
        assert page.errors == []


def test_one_moment_in_all_views(open_notebook, folder):
    page, reader = open_notebook("moment"), Reader(folder / "speech")
    first, second = reader.corpus.names[:2]
    page.shows(0, 3, "z", np.stack([row for _, row in reader.movements(first)]))
    page.control("utterance").select_option(label=second)
    page.shows(1, 1, "x", reader.view(second, reader.layers[-1]).points[:, 0])
    page.slide("layer", "ArrowLeft")
    view = reader.view(second, reader.layers[-2])
    page.shows(1, 0, "z", view.similarity, atol=0.0051)
    for name in ("conv_1", "none", "conv_5", "none", "conv_3"):
        page.control("compare").select_option(label=name)
    page.shows(2, 1, "y", reader.view(second, "conv_3").points[:, 1])
    tops = page.page.evaluate("[1, 2].map(i => document.querySelectorAll('.js-plotly-plot')[i].getBoundingClientRect().top)")
    assert tops[0] == tops[1], "two layers are compared side by side"
    page.shows(0, 3, "z", np.stack([row for _, row in reader.movements(second)]))
    for x, y, axes in ((0.3, 0.0, ""), (0.5, 4.0, "2"), (0.7, 0.5, "3"), (0.9, 12.0, "4")):
        page.page.mouse.click(*page.place(0, x, y, axes))  # sound, spectrogram, labels, movement
        page.moves_to(x)
        page.moves_to(x, plot=2)
    page.page.mouse.click(*page.place(1, 0.4, 0.8))  # self-similarity
    page.moves_to(0.4)
    assert abs(page.page.evaluate("document.querySelector('audio').currentTime") - 0.4) < 0.03
    k = 10
    target = page.place(1, *view.points[k], axes="2")
    page.click_until(target, lambda: abs(page.cursor() - view.times[k]) < 0.1)
    found = view.frame_at(page.cursor())
    assert np.hypot(*(np.subtract(page.place(1, *view.points[found], axes="2"), target))) < 8
    start, end = page.place(0, 0.2, 4.0, "2"), page.place(0, 1.0, 4.0, "2")
    page.page.mouse.move(*start)
    page.page.mouse.down()
    page.page.mouse.move(*end, steps=12)
    page.page.mouse.up()
    page.moves_to(1.0)
    page.slide("time (s)", "Home")
    page.moves_to(0.0)
    page.page.evaluate("document.querySelector('audio').play()")
    page.page.wait_for_function("document.querySelector('audio').currentTime > 0.4")
    page.moves_to(0.6, plot=1, within=0.4)
    page.page.evaluate("document.querySelector('audio').pause()")
    page.press("save figure")
    page.page.get_by_role("button", name="saved moment.html").wait_for()
    assert {path.name for path in (folder / "saved").iterdir()} >= {"moment.html", "layer.html", "compared_layer.html"}
    page.press("code")
    code = page.page.locator(".layerwise-explorer textarea")
    page.slide("layer", "ArrowLeft")
    page.page.wait_for_function(f"document.querySelector('.layerwise-explorer textarea').value.includes('{reader.layers[-3]}')")
    page.slide("layer", "ArrowRight")
    page.page.wait_for_function(f"document.querySelector('.layerwise-explorer textarea').value.includes('{reader.layers[-2]}')")
    assert f"utterance='{second}'" in code.input_value()
    page.press("copy code")
    page.page.get_by_role("button", name="copied").wait_for()
    made = {}
    Explorer.synchronous, here = True, os.getcwd()
    try:
        os.chdir(folder)
        exec(page.page.evaluate("navigator.clipboard.readText()").replace("\n\n", "\n\nagain = "), made)
    finally:
        Explorer.synchronous = False
        os.chdir(here)
    again: LayerExplorer = made["again"]
    assert (again.utterance.value, again.layer.value, again.second.value) == (second, reader.layers[-2], "conv_3")
    assert abs(again.player.time_s - page.cursor()) < 0.01


def test_layer_against_layer(open_notebook, folder):
    page, readers = open_notebook("similarity"), [Reader(folder / name) for name in ("first", "second")]
    samples = [[*sample_frames(reader.corpus, 300)][-1][1] for reader in readers]

    def expected(which: int = 0, metric: str = "linear_cka", subset: str = "all", **options) -> np.ndarray:
        rows = subset_rows(samples[which], subset)
        frames = {name: x[rows] for name, x in samples[which].frames.items()}
        return similarity_matrix(frames, metric, options=options).values

    page.shows(0, 0, "z", expected())
    page.control("estimator").select_option(label="biased")
    page.shows(0, 0, "z", expected(debiased=False))
    page.control("estimator").select_option(label="debiased")
    page.control("subset").select_option(label="speaker 1")
    page.shows(0, 0, "z", expected(subset="speaker 1"))
    page.control("subset").select_option(label="all")
    page.control("metric").select_option(label="svcca")
    page.shows(0, 0, "z", expected(metric="svcca"))
    page.control("show").select_option(label="second")
    page.shows(0, 0, "z", expected(1, "svcca"))
    page.control("metric").select_option(label="linear_cka")
    page.control("show").select_option(label="difference")
    page.shows(0, 0, "z", expected(0) - expected(1))
    page.control("show").select_option(label="first")
    page.shows(0, 0, "z", expected())
    names = readers[0].layers
    where = page.place(0, names.index("conv_2"), names.index("transformer_layer_1"))
    page.page.mouse.move(where[0] - 3, where[1])
    page.page.mouse.move(*where)
    page.page.locator(".hoverlayer :text('transformer_layer_1 and conv_2')").wait_for(state="attached")
    page.click_until(where, page.told("95 % interval"))
    pair = [*pair_steps(samples[0], "transformer_layer_1", "conv_2")][-1]
    page.shows(1, 1, "y", pair.correlations)
    page.says(f"{pair.value:.4f}")
    page.says(f"[{pair.interval[0]:.3f}, {pair.interval[1]:.3f}]")
    page.says(f"[{pair.null[0]:.3f}, {pair.null[1]:.3f}]")
    low, high = pair.correlations_null
    page.shows(1, 0, "y", [*high, *low[::-1], None])
    page.control("pair").select_option(label="conv_3")  # the same without a mouse
    page.control("and").select_option(label="transformer_input")
    page.press("show pair")
    page.shows(1, 1, "y", [*pair_steps(samples[0], "conv_3", "transformer_input")][-1].correlations)
    page.control("alignment").select_option(label="nearest")
    samples[0] = [*sample_frames(Reader(folder / "first", method="nearest").corpus, 300)][-1][1]
    page.shows(0, 0, "z", expected())
    page.press("save figure")
    page.page.get_by_role("button", name="saved similarity.html").wait_for()


def test_through_an_utterance(open_notebook, folder):
    page, reader = open_notebook("time"), Reader(folder / "first")
    names = [name for name in reader.layers if name not in reader.same_as]

    def windows(utterance: int, window_s: float, step_s: float) -> np.ndarray:
        frames = {name: reader.frames(reader.corpus.names[utterance], name) for name in names}
        return windowed_cka(frames, **reader.clock, window_s=window_s, step_s=step_s).values

    def lag(utterance: int, a: str, b: str) -> np.ndarray:
        frames = {str(i): reader.frames(reader.corpus.names[utterance], name) for i, name in enumerate((a, b))}
        return lagged_cka(frames, reader.clock["frame_rate"], 0.2).values[:, 0, 1]

    page.shows(0, 0, "z", windows(0, 0.4, 0.1)[0])
    page.shows(1, 0, "y", lag(0, names[0], names[-1]))
    page.slide("at window", "ArrowRight")
    page.shows(0, 0, "z", windows(0, 0.4, 0.1)[1])
    page.slide("window (s)", "ArrowRight")
    page.shows(0, 0, "z", windows(0, 0.42, 0.1)[1])
    page.slide("step (s)", "ArrowRight")
    page.shows(0, 0, "z", windows(0, 0.42, 0.12)[1])
    page.control("lag of").select_option(label="conv_3")
    page.control("and").select_option(label="conv_5")
    page.shows(1, 0, "y", lag(0, "conv_3", "conv_5"))
    page.control("utterance").select_option(index=1)
    page.shows(1, 0, "y", lag(1, "conv_3", "conv_5"))
    page.shows(0, 0, "z", windows(1, 0.42, 0.12)[1])
    play, stop = (page.page.locator(".widget-play button").nth(i) for i in (0, 1))
    play.click()
    page.shows(0, 0, "z", windows(1, 0.42, 0.12)[-1])
    stop.click()
    page.shows(0, 0, "z", windows(1, 0.42, 0.12)[0])


def test_phones_of_a_layer(open_notebook, folder):
    page, source = open_notebook("content"), ExploredContent(folder / "spoken")
    sample = [*source.sample()][-1][2]

    def expected(layer: str) -> LayerContent:
        return layer_content(layer, sample.layers[layer], sample.segments)

    seen, layers = expected("conv_5"), source.layers
    page.shows(1, 0, "x", seen.map.points[:, 0], atol=1e-3)
    page.shows(2, 0, "z", seen.confusion.shares, atol=1e-3)
    accuracies = [expected(layer).confusion.accuracy for layer in layers]
    page.shows(0, 0, "y", accuracies)
    clicked = layers.index("conv_2")
    x, y = page.place(0, clicked, accuracies[clicked])
    page.page.mouse.move(x - 4, y)
    page.page.mouse.move(x, y)
    page.page.locator(".hoverlayer :text('conv_2')").wait_for(state="attached")
    page.click_until((x, y), page.told("conv_2: map of phones"))
    page.shows(1, 0, "x", expected("conv_2").map.points[:, 0], atol=1e-3)
    page.control("compare").select_option(label="conv_1")
    page.shows(4, 0, "z", expected("conv_1").confusion.shares, atol=1e-3)
    page.control("phone").select_option(label=sample.segments.names[2])
    page.page.locator(f".layerwise-explorer option:text('[{sample.segments.names[2]}]')").first.wait_for(state="attached")
    page.page.locator(".layerwise-explorer .widget-select select").select_option(index=1)
    page.page.wait_for_function("document.querySelector('audio').duration > 0.3")
    page.press("save figure")
    page.page.get_by_role("button", name="saved curve.html").wait_for()


def test_long_work_is_cancelled_and_started_again(open_notebook, folder):
    page = open_notebook("many")
    page.press("cancel")
    page.says("cancelled")
    assert page.drawn(0, 0, "z").size == 0, "nothing of it is drawn"
    page.page.get_by_role("button", name="cancel").wait_for(state="hidden")
    rmtree(folder / "many")
    many_utterances(folder / "first", folder / "many", 12)
    page.control("metric").select_option(label="svcca")
    sample = [*sample_frames(Reader(folder / "many").corpus, 300)][-1][1]
    page.shows(0, 0, "z", similarity_matrix(sample.frames, "svcca").values)


def test_a_kernel_that_is_busy_and_a_page_that_is_resized(open_notebook, folder):
    page, reader = open_notebook("busy"), Reader(folder / "first")
    first = reader.corpus.names[0]
    page.shows(0, 3, "z", np.stack([row for _, row in reader.movements(first)]))
    page.slide("layer", "ArrowLeft")
    page.shows(1, 1, "x", reader.view(first, reader.layers[-2]).points[:, 0])
    width = "document.querySelector('.js-plotly-plot .main-svg').getBoundingClientRect().width"
    place = "document.querySelector('.layerwise-explorer').getBoundingClientRect().width"
    for pixels in (800, 1300):
        before = page.page.evaluate(width)
        page.page.set_viewport_size({"width": pixels, "height": 900})
        page.page.wait_for_function(f"{width} !== {before} && Math.abs({width} - {place}) < 40")


def test_a_damaged_file_and_a_folder_that_is_gone(open_notebook, folder):
    page, reader = open_notebook("gone"), Reader(folder / "gone")
    page.shows(1, 1, "x", reader.view(reader.corpus.names[0], reader.layers[-1]).points[:, 0])
    damaged = Path(folder, "gone", f"{reader.corpus.names[1]}.npz")
    damaged.write_bytes(damaged.read_bytes()[:2000])
    page.control("utterance").select_option(index=1)
    page.page.wait_for_selector("[role=alert]:has-text('--resume')")
    rmtree(folder / "gone")
    page.control("utterance").select_option(index=2)
    page.page.wait_for_selector("[role=alert]:has-text('is gone: put it back')")


@pytest.fixture
def at_once():
    "Explorers do all their work before anything else."
    Explorer.synchronous = True
    yield
    Explorer.synchronous = False


@pytest.mark.parametrize("kind", FAMILIES)
def test_explorers_of_another_family(kind, folder, at_once):
    """All four, opened, moved and heard: names of layers, times and the sample rate of the sound are the model's."""
    corpus, rate = AlignedCorpus(folder / kind), FAMILIES[kind]
    names, grid, first = list(corpus.catalogue), corpus.grid, corpus.names[0]
    moment = LayerExplorer(folder / kind, time_s=0.5)
    assert (list(moment.layer.options), moment.message.value) == (names, "")
    moment.layer.value = names[1]
    view, seconds = moment.views[0], corpus.store.manifest[first]["seconds"]
    n = len(corpus[first].frames[names[1]])
    np.testing.assert_allclose(view.times, grid.centers(n) / rate)
    assert view.times[-1] <= seconds + grid.stride / rate and moment.moment.max == seconds  # of a codec: what it heard last
    assert np.array(moment.timeline.data[3].z, float).shape[0] == len(names)
    with wave.open(io.BytesIO(moment.player.wav)) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (rate, corpus.store.manifest[first]["samples"])
    assert max(moment.timeline.data[1].y) < rate / 2000 <= moment.timeline.layout.yaxis2.range[1]
    matrix = SimilarityExplorer(folder / kind, n_frames=200)
    assert (list(matrix.figure._spec.panels[0].x.names), matrix.message.value) == (names, "")
    matrix.look_at(names[0], names[-1])
    assert f"{names[0]} and {names[-1]}" in matrix.pair.value
    windows = TemporalExplorer(folder / kind, window_s=1.0)
    assert windows.message.value == "" and len(windows.result.times) == windows.window.max + 1
    assert windows.result.times[-1] < seconds + grid.stride / rate
    lag = np.array(windows.lags.data[0].x)
    np.testing.assert_allclose(np.diff(lag), 1000 * grid.stride / rate)
    phones = ContentExplorer(folder / kind)
    assert list(phones.layer.options) == names
    phones.phone.value = phones.samples[0].segments.labels[0]
    phones.segments.index = 1
    of, row = phones.samples[0].segments, phones.segments.value
    with wave.open(io.BytesIO(phones.player.wav)) as sound:
        assert sound.getframerate() == rate
        around = min(of.start_s[row], 0.25) + min(seconds - of.end_s[row], 0.25)
        assert abs(sound.getnframes() / rate - (of.end_s[row] - of.start_s[row]) - around) < 0.01 or of.utterances[row] != first
    for explorer in (moment, matrix, windows, phones):
        explorer.close()


def test_speech_of_another_sample_rate_in_the_browser(open_notebook, folder):
    page, reader = open_notebook("codec"), Reader(folder / "mimi")
    first = reader.corpus.names[0]
    page.shows(0, 3, "z", np.stack([row for _, row in reader.movements(first)]))
    page.slide("layer", "ArrowLeft")
    page.shows(1, 1, "x", reader.view(first, reader.layers[-2]).points[:, 0])
    seconds = reader.corpus.store.manifest[first]["seconds"]
    page.page.wait_for_function(f"Math.abs(document.querySelector('audio').duration - {seconds}) < 0.01")
    page.page.evaluate("document.querySelector('audio').play()")
    page.page.wait_for_function("document.querySelector('audio').currentTime > 0.3")
    page.moves_to(0.6, within=0.5)


def test_phones_without_features(folder, tmp_path, at_once):
    """An extraction with `--store none --moments` keeps labels and a sample of segments: the content explorer opens on them."""
    from layerwise_nb.extract import extract as extract_here

    flags = dict(audio_dir="synthetic", model="random:tiny", save_dir=str(tmp_path), device="cpu", num_files=4)
    made = extract_here(**flags, store="none", moments=True)
    explorer = ContentExplorer(made["features_dir"])
    assert explorer.message.value == "" and len(explorer.samples[0].segments) > 20
    explorer.layer.value = explorer.layer.options[1]
    assert len(explorer.maps[0].data[0].x) > 3
    explorer.phone.value = explorer.samples[0].segments.labels[0]
    explorer.segments.index = 1
    assert len(explorer.player.wav) > 8000
    explorer.close()



def test_no_click_is_lost_while_a_figure_is_drawn():
    """Plotly forgets nearly every press of a tenth of a second during which it draws the figure anew: explorers press again."""
    page_js = """
      const z = (n) => Array.from({ length: 23 }, (_, i) => Array.from({ length: 23 }, (_, j) => Math.sin(i * j + n)));
      const layout = { dragmode: false, clickmode: "event", hovermode: "closest", width: 600, height: 500, title: { text: "0" } };
      Plotly.newPlot("plot", [{ type: "heatmap", z: z(0) }], layout);
      let k = 0, clicks = 0;
      document.getElementById("plot").on("plotly_click", () => clicks++);
      setInterval(() => Plotly.update("plot", { z: [z(++k)] }, { "title.text": `${k}` }), 60);"""
    helper = static("figure.js").partition("// Plotly forgets presses")[2].partition("\n")[2]
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=find_browser(), args=BROWSER_OPTIONS)
        page = browser.new_page()
        page.set_content("<div id='plot'></div>")
        for script in (get_plotlyjs(), f"// {helper}", page_js):
            page.add_script_tag(content=script)
        page.evaluate("document.getElementById('plot').addEventListener('mousedown', pressAgain, true)")
        for n in range(8):
            page.mouse.move(150 + 30 * n, 200)
            page.mouse.down()
            page.wait_for_timeout(100)
            page.mouse.up()
            page.wait_for_timeout(500)  # not a double click
        page.wait_for_function("clicks >= 8", timeout=1000 * TIMEOUT_S)
        browser.close()


def test_a_new_measure_is_one_record(folder, at_once, monkeypatch):
    """A measure that is added to the table is in the explorer's choice, and a figure has its name, its range and its colors."""
    from dataclasses import replace

    from layerwise_nb.figures.heatmap import heatmap
    from layerwise_nb.figures.style import DIVERGING
    from layerwise_nb.measures.matrix import SimilarityMatrix
    from layerwise_nb.measures.registry import MEASURES

    new = dict(label="Agreement", reading="from -2 to 2", range=(-2.0, 2.0), signed=True, quick=True)
    monkeypatch.setitem(MEASURES, "agreement", replace(MEASURES["linear_cka"], **new))
    explorer = SimilarityExplorer(folder / "first", n_frames=100)
    assert "agreement" in explorer.metric.options and "rsa" not in explorer.metric.options
    explorer.close()
    names, dims = ("a", "b"), (3, 3)
    spec = heatmap(SimilarityMatrix(names, names, np.zeros((2, 2)), "agreement", "in-sample", 9, dims, dims))
    scale = spec.panels[0].marks[0].scale
    assert spec.title == "Agreement between layers" and scale.label == "Agreement: from -2 to 2"
    assert (scale.low, scale.high, scale.colors) == (-2, 2, DIVERGING)
