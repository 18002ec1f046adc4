"""Every family through everything that comes after extraction: analyses, page and explorers, and whether the outcome is true."""

import base64
import csv
import json
import re
from html import escape
from pathlib import Path

import numpy as np
import pytest
from test_families import SMALL, checkpoint

from layerwise_nb.audio.synthetic import make_corpus
from layerwise_nb.features.catalogue import common_grid, front_end_output
from layerwise_nb.features.store import FeatureStore
from layerwise_nb.figures.specification import Boxes, FigureSpec, Image, Line, Strip, read_figure
from layerwise_nb.measures.moments import copies
from layerwise_nb.report.pipeline import ANALYSES

QUICK = ("mimi",)  # another sample rate and causal; HuBERT and Whisper are in the notebooks of analyses and tutorials
SLOW = ("mimi-all", "whisper", "hubert", "wav2vec2", "wavlm", "unispeech", "unispeech-sat", "large")
SLOW += ("data2vec", "conformer", "w2v-bert", "sew", "encodec")
KINDS = [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]


def model_of(kind: str):
    "A small model of the HuBERT family by its name, EnCodec, or one of `test_families`."
    import torch
    import transformers as t

    torch.manual_seed(0)
    plain, few = t.Wav2Vec2FeatureExtractor(do_normalize=True), dict(conv_dim=(16,) * 7, num_conv_pos_embedding_groups=4)
    names = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}
    names |= {"unispeech": "UniSpeech", "unispeech-sat": "UniSpeechSat"}
    if kind in names:
        config = getattr(t, f"{names[kind]}Config")(**SMALL, **few)
        return getattr(t, f"{names[kind]}Model")(config), plain
    if kind == "large":  # norm before each block: `final_norm` is a layer of its own
        config = t.HubertConfig(**SMALL, **few, do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True)
        return t.HubertModel(config), plain
    if kind == "encodec":
        config = t.EncodecConfig(num_filters=4, hidden_size=16, codebook_size=32, target_bandwidths=[1.5, 3.0])
        model = t.EncodecModel(config)
        with torch.no_grad():  # a codec that was never trained: frames of noise become its codes
            codes = model.encoder(0.1 * torch.randn(1, 1, 24_000))[0].T
        for i, layer in enumerate(model.quantizer.layers):
            layer.codebook.embed.copy_(codes[:32] if i == 0 else 1e-3 * torch.randn(32, 16))
        return model, t.EncodecFeatureExtractor(sampling_rate=24_000)
    return checkpoint(kind.removesuffix("-all"))


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    "Labeled speech: each of four voices twice."
    return make_corpus(tmp_path_factory.mktemp("speech") / "speech", n_speakers=4, n_utterances=8, max_s=2.6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_family_through_everything(kind, speech, tmp_path):
    from layerwise_nb.extract import extract
    from layerwise_nb.report.pipeline import visualize

    model, extractor = model_of(kind)
    model.save_pretrained(tmp_path / "model")
    extractor.save_pretrained(tmp_path / "model")
    summary = extract(str(speech), str(tmp_path / "features"), model=str(tmp_path / "model"), device="cpu")
    assert (summary["done"], summary["failed"]) == (8, {})
    store, quick = FeatureStore(summary["features_dir"]), kind in QUICK
    same_as = copies(store.catalogue)
    distinct = [name for name in store.catalogue if name not in same_as]
    options = dict(quick=True, nulls=2, bootstrap=20, max_utterances=2, formats="png", animations="" if quick else "html")
    if quick:  # what is drawn is checked in few layers, and only what tells whether time and labels are right
        ends = [distinct[0], front_end_output(store.catalogue).name, distinct[-2], distinct[-1]]
        options |= dict(layers=",".join(dict.fromkeys(ends)), metrics="linear_cka,probe_accuracy", targets="phone", formats="svg")
    made = visualize(store.path, tmp_path / "results", **options)
    assert made["problems"] == {} and made["made"] == list(ANALYSES), made["problems"]
    layers = [name for name in store.catalogue if not quick or name in options["layers"].split(",")]
    results = made["page"].parent
    check_page(made["page"])
    figures = {path: read_figure(path) for path in results.rglob("*.figure.json")}
    assert len(figures) >= 15
    for path, figure in figures.items():
        check_layers(figure, layers, path)
        check_time(figure, store, path)
    for path in results.rglob("*.csv"):
        check_numbers(path)
    check_truth(results, store, layers)
    if not quick:
        for film in ("similarity", "layers", "trajectories"):
            (page,) = results.glob(f"temporal_analysis/*/{film}.html")
            check_film(page, store)
    check_explorers(store, tmp_path)


def check_page(page: Path) -> None:
    "Every file that the page shows or links is there, every picture has its text, every analysis its section."
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r'(?:src|href)="([^"#:]+)"', text):
        assert (page.parent / name).exists(), name
    pictures = re.findall(r"<img [^>]*>", text)
    assert pictures and all(len(re.search(r'alt="([^"]*)"', one)[1]) > 20 for one in pictures)
    assert all(escape(analysis.title) in text for analysis in ANALYSES.values())


def check_layers(figure: FigureSpec, layers: list[str], path: Path) -> None:
    "Layers on an axis stand in the order of the model, and what has a value for each layer has it."
    for panel in figure.panels:
        for axis in (panel.x, panel.y):
            if axis.names and axis.are_layers:
                places = [layers.index(name) for name in axis.names if name in layers]
                assert len(places) == len(axis.names) and places in (sorted(places), sorted(places)[::-1]), (path, axis.names)
        for mark in panel.marks:
            if isinstance(mark, Line) and panel.x.are_layers and panel.x.names and mark.role == "curve":
                due = "propagation" not in path.name and "timescales" not in path.name  # some of these ask about layers above
                assert not due or np.isfinite(mark.y).all(), (path, mark.name, mark.y)
                said = any("e-folding time" in line or "integrated time" in line for line in figure.details)  # too short
                assert np.isfinite(mark.y).any() or said, (path, mark.name)
            if isinstance(mark, Boxes):
                assert np.isfinite(mark.quantiles).all(), path


def check_time(figure: FigureSpec, store: FeatureStore, path: Path) -> None:
    "Along an utterance time is in seconds, and reaches from its first frame to its last."
    if path.parent.parent.name != "temporal_analysis":
        return
    record, grid = store.manifest[path.parent.name], common_grid(store.catalogue)
    duration_s, step_s = record["samples"] / grid.sample_rate, grid.stride / grid.sample_rate
    np.testing.assert_allclose(duration_s, record["seconds"], atol=1e-4)
    reached = [0.0]
    for panel in figure.panels:
        if panel.x.unit == "s":
            low, high = panel.x.span
            assert -step_s <= low < high <= duration_s + step_s, (path, panel.x)
        for mark in panel.marks:
            x = np.asarray(getattr(mark, "x", ()), float)
            if isinstance(mark, Line | Image | Strip) and panel.x.unit == "s" and x.size and np.isfinite(x).any():
                assert -step_s <= np.nanmin(x) and np.nanmax(x) <= duration_s + step_s, (path, mark)
                reached.append(float(np.nanmax(x)))
    if path.name.startswith(("activity", "change")):
        assert max(reached) > duration_s - 3 * step_s - 0.05, (path, reached, duration_s)


def check_film(page: Path, store: FeatureStore) -> None:
    "A film lasts as long as its sound, and has a value for each layer at each moment."
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)
    data = json.loads(found[1])
    record = store.manifest[page.parent.name]
    assert abs(data["duration"] - record["seconds"]) < 1e-3
    assert 0 <= data["times"][0] < data["times"][-1] <= data["duration"] + 0.16, "a codec's last frame ends behind the audio"
    over_time = np.frombuffer(base64.b64decode(data["over_time"]), "<f4")
    assert np.isfinite(over_time).mean() > 0.8, page  # a window of six frames may have no value


def check_numbers(path: Path) -> None:
    "No NaN and no infinity in a table; an empty cell of a value says why, or belongs to a measure that may have none."
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            assert not {"nan", "inf", "-inf"} & {cell.strip().lower() for cell in row}, (path, row)


def check_truth(results: Path, store: FeatureStore, layers: list[str]) -> None:
    "What must be true of any model: of itself, of its frame rates, and of speech with labels."
    matrix = np.load(results / "similarity_matrices/linear_cka.npz")["values"]
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    for row in csv.DictReader((results / "temporal_analysis/measures.csv").open()):
        feature = store.catalogue[row["layer"]]
        np.testing.assert_allclose(float(row["frame_rate"]), feature.sample_rate / feature.stride, rtol=1e-5)
        assert row["measure"] in ("e_folding_s", "integrated_s") or float(row["value"]) > 0, row
    source = front_end_output(store.catalogue).name
    source = copies(store.catalogue).get(source, source)
    (at_source,) = [row for row in csv.DictReader((results / "visualizations/input_propagation.csv").open())
                    if row["series"].startswith("CNN output, read") and row["x"] == source]  # fmt: skip
    np.testing.assert_allclose(float(at_source["value"]), 1, atol=1e-3)
    found = [row for row in csv.DictReader((results / "content/content.csv").open())
             if (row["target"], row["measure"], row["variant"]) == ("phone", "probe_accuracy", "accuracy")]  # fmt: skip
    assert [row["layer"] for row in found if row["kind"] != "baseline"] == layers
    best, grid = max(found, key=lambda row: float(row["value"]) * (row["kind"] != "baseline")), common_grid(store.catalogue)
    sure = 1.5 if grid.sample_rate / grid.stride >= 25 else 1  # a frame of 80 ms holds several phones
    assert float(best["value"]) > sure * float(best["null_high"]), best  # labels lie where the sound is; those that slide do not
    assert all(int(row["n"]) > 100 and float(row["value"]) >= 0 for row in found)


def check_explorers(store: FeatureStore, folder: Path) -> None:
    "Each explorer opens, says no error, and its time is the utterance's."
    from layerwise_nb.explorers.base import Explorer
    from layerwise_nb.explorers.content import ContentExplorer
    from layerwise_nb.explorers.layer import LayerExplorer
    from layerwise_nb.explorers.similarity import SimilarityExplorer
    from layerwise_nb.explorers.temporal import TemporalExplorer

    before, Explorer.synchronous = Explorer.synchronous, True
    try:
        made = [LayerExplorer(store.path), SimilarityExplorer(store.path, n_frames=200), TemporalExplorer(store.path),
                ContentExplorer(store.path, max_per_class=10)]  # fmt: skip
        for explorer in made:
            assert explorer.message.value == "", (type(explorer), explorer.message.value)
            for name, figure in explorer.figures().items():
                assert len(figure.data), (type(explorer), name)
        first = store.manifest[made[0].utterance.value]
        assert abs(made[0].moment.max - first["seconds"]) <= 0.02
        assert len(made[0].player.wav) > 0
        times = made[0].views[0].times if isinstance(made[0].views, list) else next(iter(made[0].views.values())).times
        step_s = common_grid(store.catalogue).stride / common_grid(store.catalogue).sample_rate
        assert first["seconds"] - 2 * step_s - 0.05 <= times[-1] <= first["seconds"] + step_s
        assert [*made[0].layer.options] == [*store.catalogue]
    finally:
        Explorer.synchronous = before
        for explorer in made:
            explorer.close()


def test_parts_of_an_alignment_at_24_khz(speech, tmp_path):
    "Words cut for a codec: in samples of its rate, with the frames of their length; what is shorter than a frame is still one."
    from layerwise_nb.extract import extract
    from layerwise_nb.labels.alignment import read_textgrid

    model, extractor = model_of("mimi")
    model.save_pretrained(tmp_path / "model")
    extractor.save_pretrained(tmp_path / "model")
    flags = dict(model=str(tmp_path / "model"), device="cpu", alignments=str(speech), tier="words", feature_type="cnn")
    summary = extract(str(speech), str(tmp_path / "features"), **flags)
    store, n = FeatureStore(summary["features_dir"]), 0
    assert summary["failed"] == {}
    for path in sorted(speech.rglob("*.TextGrid")):
        words = [i for i in read_textgrid(path) if i.tier == "words"]
        for k, word in enumerate(words := [i for i in words if i.label]):
            (name,) = [name for name in store.names if name.endswith(f"{path.stem}_words{k:04}")]
            start, stop = round(word.start_s * 24_000), round(word.end_s * 24_000)
            record, n = store.manifest[name], n + 1
            assert (record["start"], record["samples"]) == (start, stop - start), (name, word)
            for feature, x in store[name].items():
                assert x.shape == store.catalogue[feature].shape(stop - start), (name, feature)
    assert n == len(store.names) > 20
