"""Analyses by several processes, machines and jobs: the numbers of one process, whoever shared the work."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from running import (
    TIMEOUT_S,
    Command,
    extract,
    features_dir,
    finish_launch,
    load,
    noises,
    run,
    run_ranks,
    start_ranks,
)

METRICS = ("--metrics", "linear_cka,mean_squared_cca", "--bootstrap", 0, "--formats", "png")


@pytest.fixture(scope="session")
def features(tmp_path_factory) -> Path:
    """24 utterances of 10 s: 12,000 frames in six groups that are multiplied together."""
    audio = noises(tmp_path_factory.mktemp("audio"), [10.0] * 24)
    save_dir = tmp_path_factory.mktemp("features")
    flags = ("--model", "random:tiny", "--feature_type", "transformer")
    assert extract("--audio_dir", audio, "--save_dir", save_dir, *flags).status == 0
    return features_dir(save_dir)


@pytest.fixture(scope="session")
def alone(features, tmp_path_factory) -> dict[str, dict]:
    """What everybody is compared with: the numbers of one process."""
    output_dir = tmp_path_factory.mktemp("alone")
    result = run("similarity", "--features_dir", features, "--output_dir", output_dir, *METRICS)
    assert result.status == 0, result.err
    assert not (output_dir / "clean_analysis/sums").exists()  # so little is not kept
    return matrices(output_dir)


def matrices(output_dir: Path) -> dict[str, dict]:
    paths = sorted((output_dir / "clean_analysis/similarity_matrices").glob("*.npz"))
    return {path.name: load(path) for path in paths}


def check_same(output_dir: Path, expected: dict[str, dict]) -> None:
    """Every measure within 1e-6; nothing half-written."""
    found = matrices(output_dir)
    assert found.keys() == expected.keys() and len(found) == 2
    for name, arrays in found.items():
        np.testing.assert_allclose(arrays["values"], expected[name]["values"], rtol=0, atol=1e-6, err_msg=name)
    assert parts(output_dir) == ["whole"]


def parts(output_dir: Path) -> list[str]:
    return sorted(path.name for path in output_dir.glob("clean_analysis/sums/*/*") if path.is_dir())


def contents(output_dir: Path) -> dict[str, bytes]:
    """Tables and sums, byte for byte (the headers of matrices name the output folder)."""
    paths = [*output_dir.rglob("*.csv"), *output_dir.glob("clean_analysis/sums/*/*/*.npz")]
    return {str(path.relative_to(output_dir)): path.read_bytes() for path in sorted(paths)}


# ---- Processes and machines


def test_processes_agree_and_repeat(features, alone, tmp_path):
    for name, count in {"two": 2, "three": 3, "three again": 3}.items():
        flags = ("--features_dir", features, "--output_dir", tmp_path / name, *METRICS)
        results = run_ranks(count, "similarity", *flags)
        assert [r.status for r in results] == [0] * count, results
        assert [r.out.count("written to") for r in results] == [1] + [0] * (count - 1)  # process 0 speaks for all
        check_same(tmp_path / name, alone)
    once, again = contents(tmp_path / "three"), contents(tmp_path / "three again")
    assert once == again and len(once) >= 4
    kept = run("similarity", "--features_dir", features, "--output_dir", tmp_path / "three", *METRICS)  # from the sums
    assert kept.status == 0
    check_same(tmp_path / "three", alone)


@pytest.mark.slow
def test_dynamics_by_two_processes(features, tmp_path):
    flags = ("--bootstrap", 40, "--formats", "png", "--max_utterances", 1, "--animations", "")
    for name in ("one", "two"):
        where = ("--features_dir", features, "--output_dir", tmp_path / name, *flags)
        done = [run("temporal", *where)] if name == "one" else run_ranks(2, "temporal", *where)
        assert {r.status for r in done} == {0}, done
    one, two = (tmp_path / name / "clean_analysis/temporal_analysis" for name in ("one", "two"))
    for file in ("statistics.npz", "measures.csv"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_an_error_is_told_once(features, tmp_path):
    flags = ("--features_dir", features, "--output_dir", tmp_path, "--layers", "conv_9")
    results = run_ranks(2, "similarity", *flags)
    assert results[0].status == 2 and [r.err.count("layerwise_similarity: ") for r in results] == [1, 0]
    assert "has no layer conv_9" in results[0].err


def test_two_machines(features, alone, tmp_path, machines):
    flags = ("--features_dir", features, "--output_dir", tmp_path, *METRICS)
    launches = [machines.start(machine, *flags, module="similarity") for machine in (0, 1)]
    results = [finish_launch(launch) for launch in launches]
    assert [r.status for r in results] == [0, 0], results
    assert "written to" in results[0].out and results[1].out == ""
    check_same(tmp_path, alone)


# ---- Shards


def test_shards_and_their_merge(features, alone, tmp_path):
    flags = ("--features_dir", features, "--output_dir", tmp_path, *METRICS)
    at_once = [Command("similarity", *flags, "--device", "cpu", "--shard", f"{i}/3") for i in (1, 3)]
    results = [command.wait() for command in at_once]
    assert [r.status for r in results] == [0, 0], results
    assert "summary      shard 1/3: " in results[0].out and len(matrices(tmp_path)) == 0
    left = tmp_path.glob("clean_analysis/sums/*/part-*/part.json")
    counted = [json.loads(path.read_text())["utterances"] for path in left]
    merged = run("similarity", *flags, "--device", "cpu")
    assert merged.status == 0, merged.err
    missing = 24 - sum(map(len, counted))
    assert f"shards       2 of 3 found; 2/3 lacks {missing} utterances, which are read now" in merged.err
    check_same(tmp_path, alone)


# ---- Killed


def slow_and_saved() -> None:
    """What to do before a command so that each group takes half a second and is put on the disk."""
    from layerwise_nb.summaries import shared
    from layerwise_nb.summaries.passes import SummaryPass

    real_close = SummaryPass.close

    def close(self, sums):
        time.sleep(0.5)
        real_close(self, sums)

    SummaryPass.close, SummaryPass.nbytes = close, lambda *args: 0
    shared.LITTLE, shared._MOST_PARTS = 1, 10**9


def test_killed_and_repeated(features, alone, tmp_path):
    flags = ("--features_dir", features, "--output_dir", tmp_path / "killed", *METRICS, "--device", "cpu")
    with Command("similarity", *flags, prepare=slow_and_saved) as command:
        wait_for_part(tmp_path / "killed", lambda: command.process.is_alive())
        command.kill()
        assert command.wait().status == -signal.SIGKILL
    (before,) = [json.loads(path.read_text()) for path in (tmp_path / "killed").rglob("part-*/part.json")]
    assert 0 < len(before["utterances"]) < 24
    for utterance in before["utterances"]:  # nothing that was finished is read again: it cannot be
        os.rename(features / f"{utterance}.npz", features / f"{utterance}.away")
    try:
        again = run("similarity", *flags)
    finally:
        for utterance in before["utterances"]:
            os.rename(features / f"{utterance}.away", features / f"{utterance}.npz")
    assert again.status == 0, again.err
    check_same(tmp_path / "killed", alone)


def wait_for_part(output_dir: Path, running, part: str = "sums/*/part-*/part.json") -> None:
    end = time.monotonic() + TIMEOUT_S
    while not list(output_dir.glob(f"clean_analysis/{part}")):
        assert running() and time.monotonic() < end, "no part was written"
        time.sleep(0.01)


def test_one_process_of_two_is_killed(features, alone, tmp_path):
    flags = ("--features_dir", features, "--output_dir", tmp_path, *METRICS, "--device", "cpu")
    ranks = start_ranks(2, "similarity", *flags, prepare=slow_and_saved)
    wait_for_part(tmp_path, lambda: all(rank.process.is_alive() for rank in ranks))
    ranks[1].kill()
    left, killed = (rank.wait() for rank in ranks)
    assert killed.status == -signal.SIGKILL and left.status not in (0, -signal.SIGKILL)
    assert "another process of this run exited unexpectedly" in left.err and "Traceback" not in left.err, left.err
    assert matrices(tmp_path) == {}
    again = run("similarity", *flags)  # the number of processes may change
    assert again.status == 0, again.err
    found = matrices(tmp_path)
    for name, arrays in found.items():
        np.testing.assert_allclose(arrays["values"], alone[name]["values"], rtol=0, atol=1e-6)


# ---- What each layer encodes: whole layers are shared out


CONTENT = ("--metrics", "target_r2,pnmi", "--targets", "phone,energy", "--nulls", 2, "--quick", "--formats", "png")


@pytest.fixture(scope="session")
def labeled(tmp_path_factory) -> Path:
    """Features of twelve utterances whose labels lie beside the audio."""
    save_dir = tmp_path_factory.mktemp("labeled")
    flags = ("--audio_dir", "synthetic", "--num_files", 12, "--model", "random:tiny")
    assert extract("--save_dir", save_dir, *flags).status == 0
    return features_dir(save_dir)


@pytest.fixture(scope="session")
def content_alone(labeled, tmp_path_factory) -> dict[str, bytes]:
    output_dir = tmp_path_factory.mktemp("content_alone")
    result = run("content", "--features_dir", labeled, "--output_dir", output_dir, *CONTENT)
    assert result.status == 0, result.err
    return tables(output_dir)


def tables(output_dir: Path) -> dict[str, bytes]:
    """Every table and every finished layer, byte for byte; nothing that was only for the way."""
    folder = output_dir / "clean_analysis/content"
    assert not list(folder.glob("parts/sound*"))
    return {path.name: path.read_bytes() for path in [*folder.glob("*.csv"), *folder.glob("parts/*.json")]}


@pytest.mark.slow
def test_content_by_processes_gives_the_bytes_of_one(labeled, content_alone, tmp_path):
    flags = ("--features_dir", labeled, "--output_dir", tmp_path, *CONTENT)
    results = run_ranks(3, "content", *flags)
    assert [r.status for r in results] == [0, 0, 0], results
    assert [r.out.count("written to") for r in results] == [1, 0, 0]
    assert tables(tmp_path) == content_alone and "content.csv" in content_alone


def test_content_by_shards(labeled, content_alone, tmp_path):
    flags = ("--features_dir", labeled, "--output_dir", tmp_path, *CONTENT)
    shard = run("content", *flags, "--shard", "2/2")
    parts = tmp_path / "clean_analysis/content/parts"
    assert shard.status == 0 and f"shard 2/2: its layers are in {parts}" in shard.out
    half = {path.stem for path in parts.glob("*.json")}
    assert 0 < len(half) < len(content_alone) / 2 and not (parts.parent / "content.csv").exists()
    before = {name: (parts / f"{name}.json").stat().st_mtime_ns for name in half}
    merged = run("content", *flags)  # the shard that did not run is made here, the other is not made again
    assert merged.status == 0 and tables(tmp_path) == content_alone
    assert {name: (parts / f"{name}.json").stat().st_mtime_ns for name in half} == before


def test_content_after_the_loss_of_a_process(labeled, content_alone, tmp_path):
    flags = ("--features_dir", labeled, "--output_dir", tmp_path, *CONTENT)
    ranks = start_ranks(2, "content", *flags)
    wait_for_part(tmp_path, lambda: all(rank.process.is_alive() for rank in ranks), "content/parts/*.json")
    ranks[1].kill()
    left, killed = (rank.wait() for rank in ranks)
    assert killed.status == -signal.SIGKILL and left.status != 0
    assert "another process of this run exited unexpectedly" in left.err
    assert run("content", *flags).status == 0 and tables(tmp_path) == content_alone


def test_a_shard_without_labels_says_so(features, tmp_path):
    result = run("content", "--features_dir", features, "--output_dir", tmp_path, *CONTENT, "--shard", "1/2")
    assert result.status == 2 and "labels" in result.err and len(result.err.splitlines()) == 1
