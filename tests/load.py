"""Does a large corpus cost more per utterance than a small one? Measured on the synthetic corpus and the tiny model.

    python tests/load.py                               # 1,655 utterances extracted, 100,000 listed: a few minutes
    python tests/load.py --utterances 200 --listed 0   # a smaller, or no, corpus

Prints a table in Markdown. `test_load.py` asserts the cheap part of it in CI.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile as sf
from running import features_dir


@dataclass
class Row:
    """A line of the table."""

    what: str
    measured: str


def timed(function, *args) -> tuple[float, object]:
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def worked(function, *args) -> tuple[float, object]:
    """The same in processor time, which does not depend on what else the machine does."""
    gc.collect()
    gc.disable()  # what others have left in memory is not this function's work
    try:
        start = time.process_time()
        result = function(*args)
        return time.process_time() - start, result
    finally:
        gc.enable()


def command(module: str, *flags) -> list[str]:
    return [sys.executable, "-m", f"layerwise_nb.{module}", *map(str, flags)]


# ---- Many utterances extracted


def watch_memory(process: subprocess.Popen) -> list[tuple[float, int]]:
    """(time, resident bytes) of a process until it ends."""
    samples, child = [], psutil.Process(process.pid)
    while process.poll() is None:
        try:
            samples.append((time.time(), child.memory_info().rss))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.1)
    return samples


def per_hundred(folder: Path) -> np.ndarray:
    """Audio seconds per second, hundred by hundred, from the times at which the files got their names."""
    records = map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    done = sorted((os.stat(folder / f"{r['utterance']}.npz").st_mtime, r["seconds"]) for r in records)
    times, seconds = np.array(done).T
    edges = np.arange(0, len(times), 100)
    ends = edges[1:] - 1  # whole hundreds; the first starts with its first file
    return np.array([seconds[a + 1 : b + 1].sum() / (times[b] - times[a]) for a, b in zip(edges, ends, strict=False)])


def extraction(utterances: int, folder: Path) -> list[Row]:
    """Extract so many utterances, and ask for the status."""
    from layerwise_nb.audio.synthetic import make_corpus

    audio = make_corpus(folder / "audio", n_speakers=40, n_utterances=utterances, min_s=1.5, max_s=1.6)
    flags = ("--audio_dir", audio, "--save_dir", folder / "out", "--model", "random:tiny", "--device", "cpu")
    process = subprocess.Popen(command("extract", *flags), stdout=subprocess.PIPE, text=True)
    memory: list[tuple[float, int]] = []
    thread = threading.Thread(target=lambda: memory.extend(watch_memory(process)))
    thread.start()
    said, _ = process.communicate()
    thread.join()
    assert process.returncode == 0, said
    out = features_dir(folder / "out")
    speed = per_hundred(out)
    written = [path.stat().st_mtime for path in out.glob("*.npz")]
    working = [rss for when, rss in memory if min(written) < when < max(written)]
    half = len(working) // 2
    again, _ = timed(lambda: subprocess.run(command("extract", *flags), check=True, capture_output=True))
    status, _ = timed(lambda: subprocess.run(command("status", folder / "out"), check=True, capture_output=True))
    return [
        Row(f"extraction of {utterances} utterances", said.splitlines()[-1].partition("them now: ")[2]),
        Row(
            "audio per second, by hundreds of files",
            f"first {speed[0]:.1f}, median {np.median(speed):.1f}, last {speed[-1]:.1f}; slowest {speed.min():.1f}",
        ),
        Row(
            "memory, first and second half of the run",
            f"at most {max(working[:half]) / 1e6:.0f} and {max(working[half:]) / 1e6:.0f} MB",
        ),
        Row("the same command again, nothing to do", f"{again:.1f} s"),
        Row("layerwise_status", f"{status:.2f} s"),
    ]


# ---- Records


def records(number: int, folder: Path) -> dict[str, float]:
    """Processor seconds that a manifest of so many utterances takes."""
    from layerwise_nb.core.files import write_text
    from layerwise_nb.features.run_folder import Journal, merge_journals
    from layerwise_nb.status import read_status

    folder.mkdir()
    write_text(folder / "run.json", json.dumps({"identity": {}, "found": number}))
    record = {"status": "done", "samples": 200_000, "seconds": 12.5, "start": 0, "frames": 624, "hash": "0" * 32}
    record |= {"bytes": 17_000_000, "speaker": "84", "chapter": "121123"}

    def journal() -> None:
        file = Journal(folder)
        for i in range(number):
            file.add({"utterance": f"84_121123_84-121123-{i:06}", **record})
        file.close()

    return {
        "journal": worked(journal)[0],
        "merge": worked(merge_journals, folder)[0],
        "status": worked(read_status, folder)[0],
    }


# ---- An analysis planned


def analysis_plan(number: int, folder: Path) -> dict[str, float]:
    """Processor seconds until an analysis of so many utterances starts to read."""
    from layerwise_nb.corpus.aligned import AlignedCorpus
    from layerwise_nb.features.catalogue import catalogue_to_json, feature_catalogue
    from layerwise_nb.summaries.passes import SummaryPass, TemporalPass
    from layerwise_nb.summaries.shared import pass_key, share_names

    folder.mkdir()
    identity = {"model": "m", "weights": "w", "feature_type": "all", "dtype": "float32"}
    (folder / "run.json").write_text(json.dumps({"identity": identity, "catalogue": catalogue_to_json(feature_catalogue())}))
    record = {"status": "done", "seconds": 12.5, "start": 0, "frames": 624, "hash": "0" * 32, "bytes": 17_000_000}
    records = ({"utterance": f"84_1_84-1-{i:06}", "samples": 100_000 + i, **record} for i in range(number))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    seconds, corpus = worked(AlignedCorpus, folder)
    found = {"open": seconds}
    found["key"], _ = worked(pass_key, SummaryPass(), corpus)
    found["share sums"], shares = worked(share_names, SummaryPass(), corpus, 64)
    assert sum(map(len, shares)) == number
    found["share dynamics"], _ = worked(share_names, TemporalPass(), corpus, 64)
    return found


# ---- Many files listed


def listing(number: int, folder: Path) -> dict[str, float]:
    """Seconds that the plan of so many files takes."""
    from layerwise_nb.audio.utterances import list_utterances
    from layerwise_nb.extraction.plan import choose_shard, plan_batches, share_batches
    from layerwise_nb.extraction.resume import find_done
    from layerwise_nb.features.catalogue import HUBERT_BASE, feature_catalogue

    folder.mkdir()
    for i in range(number):
        place = folder / "audio" / str(i // 1_000)
        if i % 1_000 == 0:  # one file with a thousand names
            place.mkdir(parents=True)
            sf.write(place / "0.flac", np.random.default_rng(i).uniform(-0.1, 0.1, 16_000 + i // 100), 16_000)
        else:
            os.link(place / "0.flac", place / f"{i % 1_000}.flac")
    seconds, (utterances, _) = timed(list_utterances, folder / "audio")
    assert len(utterances) == number
    found = {"list": seconds}
    found["find what is done"], _ = timed(find_done, folder, utterances, feature_catalogue(HUBERT_BASE), "float32")
    found["plan"], plan = timed(plan_batches, utterances, 160 * 16_000)
    found["share"], _ = timed(share_batches, plan, 64)
    found["shard"], _ = timed(choose_shard, plan, {}, "7/64")
    return found


def table(utterances: int, listed: int) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if utterances:
            rows += extraction(utterances, Path(folder, "extraction"))
        for number in (1_000, 10_000, 100_000):
            took = records(number, Path(folder, f"records{number}"))
            rows.append(Row(f"manifest of {number:,}", ", ".join(f"{what} {s:.3f} s" for what, s in took.items())))
        took = analysis_plan(100_000, Path(folder, "analysis"))
        rows.append(Row("analysis of 100,000", ", ".join(f"{what} {s:.2f} s" for what, s in took.items())))
        if listed:
            took = listing(listed, Path(folder, "listing"))
            rows.append(Row(f"{listed:,} files", ", ".join(f"{what} {s:.2f} s" for what, s in took.items())))
    return "\n".join(["| load | measured |", "|---|---|", *(f"| {row.what} | {row.measured} |" for row in rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure what a large corpus costs.")
    parser.add_argument("--utterances", type=int, default=1_655, help="extracted")
    parser.add_argument("--listed", type=int, default=100_000, help="files listed and planned")
    print(table(**vars(parser.parse_args())))
