"""Analysis without stored features, from the command line: as from stored ones, whoever computed it and however it ended."""

import functools
import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import soundfile as sf
from running import TIMEOUT_S, Command, extract, features_dir, load, noises, run, run_ranks

TINY = ("--model", "random:tiny")
SUMS = (*TINY, "--store", "none", "--moments")
# Largest difference of two covariances over the deviations of their columns: float32 products added in another order.
RTOL = 1e-5


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    return noises(tmp_path_factory.mktemp("audio"), [1.5, 0.8, 2.2, 1.1, 0.4, 1.9])


def read(folder):
    from layerwise_nb.dynamics.statistics import TemporalStatistics
    from layerwise_nb.summaries.summary import CorpusSummary

    return CorpusSummary.load(folder / "summary"), TemporalStatistics.load(folder / "summary/temporal.npz")


@pytest.fixture(scope="session")
def stored(audio, tmp_path_factory):
    """What the sums are compared with: every feature stored, read back and added up."""
    from layerwise_nb.corpus.aligned import AlignedCorpus
    from layerwise_nb.dynamics.statistics import TemporalStatistics
    from layerwise_nb.features.catalogue import pooled_catalogue
    from layerwise_nb.summaries.summary import CorpusSummary

    save_dir = tmp_path_factory.mktemp("stored")
    assert extract("--audio_dir", audio, "--save_dir", save_dir, *TINY).status == 0
    corpus = AlignedCorpus(features_dir(save_dir))
    temporal = TemporalStatistics(pooled_catalogue(corpus.catalogue), identity=corpus.identity)
    for u in corpus:
        temporal.update(u.frames, u.name, u.speaker, u.seconds)
    return CorpusSummary.of(corpus, progress=False), temporal


def check_same(found, expected):
    (one, temporal), (other, other_temporal) = found, expected
    assert (one.n, one.layers, one.title) == (other.n, other.layers, other.title)
    assert dict(sorted(one.speakers.items())) == dict(sorted(other.speakers.items()))
    assert one.moments.identity == other.moments.identity == temporal.identity
    worst = 0.0
    for name in one.layers:
        a, b = one.moments.layer(name), other.moments.layer(name)
        deviation = np.sqrt(np.diag(b.covariance))
        worst = max(worst, np.abs((a.covariance - b.covariance) / np.outer(deviation, deviation)).max())
        worst = max(worst, np.abs((a.mean - b.mean) / deviation).max())
        np.testing.assert_allclose(one.reservoir.frames[name], other.reservoir.frames[name], rtol=1e-4, atol=1e-5)
    assert worst < RTOL
    for what in ("utterances", "speakers", "positions"):
        np.testing.assert_array_equal(getattr(one.reservoir, what), getattr(other.reservoir, what))
    assert (temporal.speakers, temporal.failed) == (other_temporal.speakers, other_temporal.failed)
    means, expected_means = (
        np.array([t._records[name].means for name in t.utterances]) for t in (temporal, other_temporal)
    )
    np.testing.assert_allclose(means, expected_means, rtol=1e-4)


def check_complete(save_dir, stored):
    folder = features_dir(save_dir)
    check_same(read(folder), stored)
    assert list(folder.glob("*.npz")) == [] and list(folder.glob(".summary.*")) == [folder / ".summary.lock"]
    records = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [r["status"] for r in records] == ["done"] * len(stored[0].speakers)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


# ---- One process, several, shards


def test_the_same_as_from_stored_features(audio, stored, tmp_path):
    result = extract("--audio_dir", audio, "--save_dir", tmp_path, *SUMS)
    assert (result.status, result.err) == (0, "")
    assert "13 features, not stored" in result.out and "sums         in " in result.out
    check_complete(tmp_path, stored)
    again = extract("--audio_dir", audio, "--save_dir", tmp_path, *SUMS)
    assert again.status == 0 and "of 6 utterances\n" in again.out and "none of them now" in again.out
    check_complete(tmp_path, stored)
    verified = run("verify", tmp_path)
    assert verified.status == 2 and "holds no features to verify: it was made with --store none" in verified.err


def test_two_processes(audio, stored, tmp_path):
    results = run_ranks(2, "extract", "--device", "cpu", "--audio_dir", audio, "--save_dir", tmp_path, *SUMS, "--threads", 1)
    assert [r.status for r in results] == [0, 0], results
    check_complete(tmp_path, stored)
    ranks = {json.loads(line)["rank"] for line in (features_dir(tmp_path) / "manifest.jsonl").read_text().splitlines()}
    assert ranks == {0, 1}


def test_two_shards_at_once(audio, stored, tmp_path):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path, *SUMS)
    with Command("extract", *flags, "--shard", "1/2") as one, Command("extract", *flags, "--shard", "2/2") as two:
        assert [one.wait().status, two.wait().status] == [0, 0]
    check_complete(tmp_path, stored)


def test_similarity_reads_sums_as_it_reads_features(audio, tmp_path):
    values = []
    for name, flags in {"features": TINY, "sums": SUMS}.items():
        assert extract("--audio_dir", audio, "--save_dir", tmp_path / name, *flags).status == 0
        flags = ("--metric", "linear_cka,svcca,rbf_cka", "--bootstrap", 20, "--formats", "png")
        result = run("similarity", "--features_dir", tmp_path / name, "--output_dir", tmp_path / f"{name}_out", *flags)
        assert result.status == 0, result.err
        files = sorted((tmp_path / f"{name}_out").rglob("*.npz"))
        values.append({path.name: load(path) for path in files})
    assert values[0].keys() == values[1].keys() and len(values[0]) == 3
    for name, arrays in values[0].items():
        assert "values" in arrays and arrays.keys() == values[1][name].keys()
        for what in arrays.keys() - {"layers"}:
            np.testing.assert_allclose(arrays[what], values[1][name][what], atol=1e-4, err_msg=f"{name} {what}")


# ---- Files and sums


def test_pooled_files_and_sums(audio, stored, tmp_path):
    result = extract("--audio_dir", audio, "--save_dir", tmp_path, *TINY, "--store", "pooled", "--moments")
    assert result.status == 0
    folder = features_dir(tmp_path)
    assert run("verify", folder).status == 0
    arrays = load(next(folder.glob("*.npz")))
    times = {a.shape[2 if name.startswith("c") else 1] for name, a in arrays.items()}
    assert len(times) == 1 and {a.dtype for a in arrays.values()} == {np.dtype(np.float16)}

    from layerwise_nb.corpus.aligned import AlignedCorpus
    from layerwise_nb.summaries.summary import CorpusSummary

    summed, _ = read(folder)
    from_files = CorpusSummary.of(AlignedCorpus(folder), progress=False)
    assert from_files.moments.identity == summed.moments.identity != stored[0].moments.identity
    for name in summed.layers:  # half precision is in the files, not in the sums
        a, b, c = (s.moments.layer(name).covariance for s in (summed, stored[0], from_files))
        deviation = np.sqrt(np.diag(b))
        assert np.abs((a - b) / np.outer(deviation, deviation)).max() < RTOL
        assert np.abs((c - b) / np.outer(deviation, deviation)).max() < 2e-3


def test_sums_after_files(audio, stored, tmp_path):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path, *TINY)
    assert extract(*flags).status == 0
    before = {path.name: path.read_bytes() for path in features_dir(tmp_path).glob("*.npz")}
    assert extract(*flags, "--moments").status == 0
    check_same(read(features_dir(tmp_path)), stored)
    assert {path.name: path.read_bytes() for path in features_dir(tmp_path).glob("*.npz")} == before


# ---- Killed


def checkpoint_always(kill_at_rename: int = 0) -> None:
    """A checkpoint after every utterance; killed just before the n-th renaming of a folder."""
    from layerwise_nb.extraction import run as extraction
    from layerwise_nb.summaries import accumulate

    extraction.plan_lanes = lambda *args: 1
    accumulate.CorpusAccumulator.due = property(lambda self: True)
    real_rename, calls = os.rename, []

    def rename(source, target):
        calls.append(target)
        if len(calls) == kill_at_rename:
            os.kill(os.getpid(), signal.SIGKILL)
        real_rename(source, target)

    os.rename = rename


@pytest.mark.parametrize("number", [1, 2, 3, 8])  # of 11: one for the first checkpoint, two for each of the others
def test_killed_in_a_checkpoint(audio, stored, tmp_path, number):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path, *SUMS)
    killed = Command("extract", *flags, prepare=functools.partial(checkpoint_always, number)).wait()
    assert killed.status == -signal.SIGKILL
    assert extract(*flags).status == 0
    check_complete(tmp_path, stored)


def slow_checkpoints_never() -> None:
    """No checkpoint but the last, and that one takes forever."""
    from layerwise_nb.summaries import accumulate

    accumulate.CorpusAccumulator.checkpoint = lambda self: time.sleep(TIMEOUT_S)


def test_what_was_lost_is_told_and_done_again(audio, stored, tmp_path):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path, *SUMS)
    with Command("extract", *flags, prepare=slow_checkpoints_never) as command:
        end = time.monotonic() + TIMEOUT_S
        while not (found := list(tmp_path.glob("*/*/manifest.rank0.jsonl"))) or found[0].read_text().count("done") < 6:
            assert command.process.is_alive() and time.monotonic() < end
            time.sleep(0.02)
        command.kill()
        assert command.wait().status == -signal.SIGKILL
    result = extract(*flags)
    assert result.status == 0 and "of 0 utterances\n" in result.out and "6 of them now" in result.out
    check_complete(tmp_path, stored)


def test_interrupted(audio, stored, tmp_path):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path, *SUMS)
    with Command("extract", *flags, prepare=one_at_a_time) as command:
        end = time.monotonic() + TIMEOUT_S
        while not (found := list(tmp_path.glob("*/*/manifest.rank0.jsonl"))) or "done" not in found[0].read_text():
            assert command.process.is_alive() and time.monotonic() < end
            time.sleep(0.01)
        command.kill(signal.SIGINT)
        assert command.wait().status == 130
    counted = json.loads((features_dir(tmp_path) / "summary/summary.json").read_text())["speakers"]
    assert 0 < len(counted) < 6  # what was under way is in the sums
    result = extract(*flags)
    assert result.status == 0 and f"{6 - len(counted)} of them now" in result.out
    check_complete(tmp_path, stored)


def one_at_a_time() -> None:
    """Half a second for each utterance, one lane."""
    from layerwise_nb.extraction import run as extraction
    from layerwise_nb.summaries import accumulate

    real_add = accumulate.CorpusAccumulator.add

    def add(self, utterance, features, waveform):
        time.sleep(0.5)
        real_add(self, utterance, features, waveform)

    accumulate.CorpusAccumulator.add = add
    extraction.plan_lanes = lambda *args: 1


def test_another_audio_under_a_counted_name(audio, tmp_path):
    copied = shutil.copytree(audio, tmp_path / "audio")
    flags = ("--audio_dir", copied, "--save_dir", tmp_path / "out", *SUMS)
    assert extract(*flags).status == 0
    path = sorted(copied.rglob("*.flac"))[0]
    sf.write(path, np.zeros(9_000) + 0.01 * np.random.default_rng(0).standard_normal(9_000), 16_000)
    result = extract(*flags)
    assert result.status == 2 and "cannot be taken out again: choose another --save_dir" in result.err
