"""Speech from where people keep it: each format, written by its own library, gives what the folder gives."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from running import extract, run

from layerwise_nb.audio.files import find_audio
from layerwise_nb.features.run_folder import read_manifest, read_run
from layerwise_nb.features.store import FeatureStore

TINY = ("--model", "random:tiny", "--device", "cpu")
N_FILES = 4
TEXTS = [f"WORD {'MORE ' * i}" for i in range(N_FILES)]


@pytest.fixture(scope="module")
def corpus(speech, tmp_path_factory) -> Path:
    """A few recordings, below two folders, with nothing beside them."""
    folder = tmp_path_factory.mktemp("corpus") / "speech"
    for i, path in enumerate(find_audio(speech)[:N_FILES]):
        place = folder / f"{i % 2}" / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return folder


def hashes(features: Path) -> dict[str, str]:
    """Hash of the audio -> hash of its features, of every utterance."""
    store = FeatureStore(features)
    assert len(store.names) == len(store.manifest), store.manifest
    return {store[name].provenance["audio_sha256"]: store.manifest[name]["hash"] for name in store.names}


@pytest.fixture(scope="module")
def of_folder(corpus, tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("of_folder")
    assert extract("--audio_dir", corpus, "--save_dir", out, *TINY).status == 0
    return hashes(out)


def ids(corpus: Path) -> dict[str, Path]:
    return {f"{path.parent.name}/{path.stem}": path for path in find_audio(corpus)}


def as_tsv(corpus: Path, folder: Path) -> tuple:
    rows = zip(ids(corpus).items(), TEXTS, strict=True)
    (folder / "dev.tsv").write_text("id\tpath\ttext\n" + "".join(f"{u}\t{path}\t{text}\n" for (u, path), text in rows))
    return "--manifest", folder / "dev.tsv"


def as_nemo(corpus: Path, folder: Path) -> tuple:
    import soundfile as sf

    rows = [
        {"audio_filepath": str(path), "offset": 0, "duration": round(sf.info(path).duration, 2), "text": text, "speaker": "9"}
        for path, text in zip(ids(corpus).values(), TEXTS, strict=True)
    ]
    (folder / "train.json").write_text("\n".join(map(json.dumps, rows)))
    return "--manifest", folder / "train.json"


def as_fairseq(corpus: Path, folder: Path) -> tuple:
    import soundfile as sf

    rows = [f"{path.relative_to(corpus)}\t{sf.info(path).frames}" for path in ids(corpus).values()]
    (folder / "train.tsv").write_text("\n".join([str(corpus), *rows]) + "\n")
    (folder / "train.wrd").write_text("\n".join(TEXTS) + "\n")
    return "--manifest", folder / "train.tsv"


def as_kaldi(corpus: Path, folder: Path) -> tuple:
    names = {u.replace("/", "-"): path for u, path in ids(corpus).items()}
    (folder / "wav.scp").write_text("".join(f"{u} {path}\n" for u, path in names.items()))
    (folder / "utt2spk").write_text("".join(f"{u} {u[0]}\n" for u in names))
    (folder / "text").write_text("".join(f"{u} {text}\n" for u, text in zip(names, TEXTS, strict=True)))
    return "--manifest", folder


def as_lhotse(corpus: Path, folder: Path) -> tuple:
    lhotse = pytest.importorskip("lhotse")
    cuts = []
    for (name, path), text in zip(ids(corpus).items(), TEXTS, strict=True):
        recording = lhotse.Recording.from_file(path, recording_id=name)
        said = lhotse.SupervisionSegment(f"{name}-s", name, 0, recording.duration, text=text, speaker=name[0])
        cuts.append(lhotse.MonoCut(name, 0, recording.duration, 0, supervisions=[said], recording=recording))
    lhotse.CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    return "--manifest", folder / "cuts.jsonl.gz"


def dataset_of(corpus: Path):
    """The corpus as a Hugging Face dataset, with the bytes of its audio inside."""
    datasets = pytest.importorskip("datasets")
    from datasets.table import embed_table_storage

    datasets.config.HF_DATASETS_CACHE = corpus.parent / "cache"
    columns = {"id": list(ids(corpus)), "audio": [str(path) for path in ids(corpus).values()], "text": TEXTS}
    made = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio())
    return made.with_format("arrow").map(embed_table_storage, batched=True).with_format(None)


def as_saved_dataset(corpus: Path, folder: Path) -> tuple:
    dataset_of(corpus).save_to_disk(folder)
    return "--dataset", folder


def as_parquet(corpus: Path, folder: Path) -> tuple:
    dataset_of(corpus).to_parquet(folder / "validation-00000-of-00001.parquet")
    return "--dataset", folder, "--dataset_split", "validation"


def as_stream(corpus: Path, folder: Path) -> tuple:
    return *as_parquet(corpus, folder), "--streaming"


WAYS: list[Callable] = [as_tsv, as_nemo, as_fairseq, as_kaldi, as_lhotse, as_saved_dataset, as_parquet, as_stream]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_format_gives_the_features_of_the_folder(way, corpus, of_folder, tmp_path):
    (tmp_path / "as").mkdir()
    source, cache = way(corpus, tmp_path / "as"), {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    result = extract(*source, "--save_dir", tmp_path / "out", *TINY, **cache)
    assert result.status == 0, result.err
    assert hashes(tmp_path / "out") == of_folder
    store = FeatureStore(tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in store.path.glob("*.npz")}
    again = extract(*source, "--save_dir", tmp_path / "out", *TINY, "--resume", **cache)
    assert again.status == 0 and ", 0 to do" in again.out, again.out
    assert before == {path: path.stat().st_mtime_ns for path in store.path.glob("*.npz")}
    assert run("verify", tmp_path / "out").status == 0
    assert "audio_dir" not in read_run(store.path)["source"]
    assert all(record["speaker"] == name[0] for name, record in read_manifest(store.path).items() if way in (as_kaldi, as_lhotse))


def test_a_sound_is_found_again(corpus, of_folder, tmp_path):
    from layerwise_nb.audio.containers import AudioError
    from layerwise_nb.audio.decode import load_audio
    from layerwise_nb.content_analysis.source import ContentSource
    from layerwise_nb.corpus.recording import find_recording

    second = list(ids(corpus).values())[1]
    rows = [{"id": "a", "path": str(second), "end": 0.5}, {"id": "b", "path": str(second), "start": 0.5, "end": 1.25}]
    table = tmp_path / "talk.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)))
    assert extract("--manifest", table, "--save_dir", tmp_path / "out", *TINY).status == 0
    store = FeatureStore(tmp_path / "out")
    assert len(set(ContentSource(store, [*store.catalogue][-1:]).recordings.values())) == 1  # both are pieces of one recording
    heard = find_recording(store, "b")
    assert (heard.waveform == load_audio(second)[0][8_000:20_000]).all()
    rows[1]["start"], rows[1]["end"] = 0.25, 1.0  # another stretch of the same length
    table.write_text("\n".join(map(json.dumps, rows)))
    result = extract("--manifest", table, "--save_dir", tmp_path / "out", *TINY)
    assert result.status == 0 and "2 files found" in result.out and ", 1 to do" in result.out
    assert "redoing b: it is another stretch" in result.out
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / second.name).write_bytes(second.read_bytes())
    table.unlink()
    with pytest.raises(AudioError, match="say where the audio is"):
        find_recording(FeatureStore(tmp_path / "out"), "b")
    heard = find_recording(FeatureStore(tmp_path / "out"), "b", audio_dir=moved)
    assert (heard.waveform == load_audio(second)[0][4_000:16_000]).all()


def test_labels_of_a_dataset_are_found_by_its_ids(corpus, tmp_path):
    """TextGrids named by id, and one table of all ids, for the rows of a dataset: the same labels of the same utterances."""
    from layerwise_nb.corpus.recording import read_corpus_labels
    from layerwise_nb.labels.intervals import Interval
    from layerwise_nb.labels.textgrid import write_textgrid

    (tmp_path / "as").mkdir()
    source, cache = as_saved_dataset(corpus, tmp_path / "as"), {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    assert extract(*source, "--save_dir", tmp_path / "out", *TINY, **cache).status == 0
    store, table = FeatureStore(tmp_path / "out"), tmp_path / "phones.ctm"
    spoken = [Interval(0.1 * i, 0.1 * i + 0.1, phone, "phones") for i, phone in enumerate(("AA", "S", "IY"))]
    (tmp_path / "grids").mkdir()
    for name in store.names:
        write_textgrid(tmp_path / "grids" / f"{name}.TextGrid", spoken, 0.5)
    table.write_text("".join(f"{name} 1 {i.start_s} 0.1 {i.label}\n" for name in store.names for i in spoken))
    for labels in (tmp_path / "grids", table):
        found = read_corpus_labels(store, labels)
        assert found.utterances == store.names and not found.missing
        for name in store.names:
            assert found.segments(store.catalogue["transformer_input"], "phones", [name]).labels.tolist() == ["AA", "S", "IY"]


def test_one_bad_line_stops_nothing(corpus, tmp_path):
    first = next(iter(ids(corpus).values()))
    marker = tmp_path / "it_ran"
    rows = [("good", first), ("gone", corpus / "gone.flac"), ("runs", f"touch {marker} |"), ("../out", first)]
    (tmp_path / "t.tsv").write_text("id\tpath\n" + "".join(f"{u}\t{path}\n" for u, path in rows))
    result = extract("--manifest", tmp_path / "t.tsv", "--save_dir", tmp_path / "out", *TINY)
    assert result.status == 1 and not marker.exists(), result.err
    (folder,) = (tmp_path / "out").glob("*/*")
    reasons = {name: record.get("reason") for name, record in read_manifest(folder).items()}
    assert reasons == {"good": None, "gone": "unreadable", "runs": "a command", "t.tsv line 5": "bad name"}
    assert sorted(path.name for path in folder.glob("*.npz")) == ["good.npz"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--manifest", "nowhere.tsv"), "nowhere.tsv does not exist"),
        (("--manifest", "t.tsv", "--audio_dir", "a"), "both say where speech comes from"),
        (("--audio_dir", "synthetic", "--id_column", "id"), "has no columns"),
        (("--dataset", "./nowhere"), "./nowhere does not exist"),
        (("--audio_dir", "synthetic", "--streaming"), "give --dataset too"),
        ((), "--audio_dir is needed"),
    ],
)
def test_what_cannot_be_opened_is_said(flags, message, tmp_path):
    result = extract(*flags, "--save_dir", tmp_path / "out", *TINY)
    assert result.status == 2 and message in result.err, result.err
