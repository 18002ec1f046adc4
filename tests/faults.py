"""Break an extraction in every way that can be thought of, at seeded random moments, and count what comes of it.

    python tests/faults.py                      # the long form, some 15 minutes on two cores: prints a table in Markdown
    python tests/faults.py --kills 10 --audio 0 # fewer, or none, of a kind

It ends at the first defect, with what was done and what came of it. `test_faults.py` runs a short form in CI.
"""

import argparse
import inspect
import io
import json
import random
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import wave
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile as sf
from recording_faults import judge
from running import Command, extract, features_dir, hashes, load, noises, run, temporaries

TINY = ("--device", "cpu", "--model", "random:tiny", "--batch_seconds", 2)
BOUND_S = 300  # nothing here takes that long: more is a hang


def check_whole(save_dir: Path, expected: dict[str, str]) -> None:
    """All files, each once, equal to those of an undisturbed run, and nothing beside them."""
    assert hashes(save_dir) == expected
    folder = features_dir(save_dir)
    listed = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [r["utterance"] for r in listed] == sorted(expected) and {r["status"] for r in listed} == {"done"}
    assert temporaries(save_dir) == [] and list(folder.glob("manifest.rank*")) == []
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"] == "finished"


class Corpus:
    """A little audio, and what an undisturbed run makes of it."""

    def __init__(self, folder: Path, rng: random.Random):
        self.audio = noises(folder / "audio", [rng.uniform(0.3, 1.2) for _ in range(8)])
        self.flags, self.run = ("--audio_dir", self.audio, *TINY, "--save_dir"), folder / "undisturbed"
        assert extract(*self.flags, folder / "first").status == 0  # imports everything, once
        start = time.monotonic()
        assert extract(*self.flags, self.run).status == 0
        self.seconds = time.monotonic() - start
        self.expected = hashes(self.run)
        assert self.expected == hashes(folder / "first")
        self.nbytes = sum(path.stat().st_size for path in features_dir(self.run).glob("*.npz"))


# ---- Kills


def kills(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """kill -9 at random moments of an extraction, then resume"""
    killed, finished_before, whole, done, save_dir = 0, 0, 0, Counter(), folder / "0"
    while killed < number:
        with Command("extract", *corpus.flags, save_dir) as command:
            time.sleep(rng.uniform(0, 1.1 * corpus.seconds))
            command.process.kill()  # unless it has just ended
            status = command.wait().status
        killed += status == -signal.SIGKILL
        finished_before += status == 0
        assert status in (0, -signal.SIGKILL), status
        finished = hashes(save_dir)  # reads every array
        assert finished.items() <= corpus.expected.items(), "a torn or wrong file under a final name"
        done[len(finished)] += 1
        if status == 0 or rng.random() < 0.5:  # else it is killed again where it was
            again = extract(*corpus.flags, save_dir)
            assert again.status == 0, again
            check_whole(save_dir, corpus.expected)
            whole, save_dir = whole + 1, folder / str(whole + 1)
    moments = f"with {min(done)} to {max(done)} of {len(corpus.expected)} files done"
    return f"{killed} kills {moments}; 0 torn files; {whole} of {whole} resumed runs equal to the bit, nothing twice"


def disks(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """the disk is full at random points, then has room again"""
    stopped, disk = Counter(), folder / "disk"
    disk.mkdir()
    for _ in range(number):
        size = rng.randrange(4096, corpus.nbytes)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True)
        if mounted.returncode:
            return "not run: it needs the right to mount a small disk"
        try:
            full = extract(*corpus.flags, disk, "--force")
            assert full.status in (1, 2) and "No space left on device" in full.out + full.err, full
            assert "Traceback" not in full.err, full.err
            finished = hashes(disk)
            assert finished.items() < corpus.expected.items(), "a torn or wrong file under a final name"
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            again = extract(*corpus.flags, disk)
            assert again.status == 0, again
            check_whole(disk, corpus.expected)
            stopped[len(finished)] += 1
        finally:
            subprocess.run(["umount", disk], check=True)
    return (
        f"stopped with {min(stopped)} to {max(stopped)} files done and said so; 0 torn files; all resumed to equal bits"
    )


def pairs(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """two runs on one output folder at once"""
    told = 0
    for i in range(number):
        with Command("extract", *corpus.flags, folder / str(i)) as first:
            time.sleep(rng.uniform(0, 0.5 * corpus.seconds))
            second = extract(*corpus.flags, folder / str(i))
            results = [first.wait(), second]
        refused = [r for r in results if r.status == 2]
        assert len(refused) < 2 and all("another run is writing to" in r.err for r in refused), results
        assert all(r.status == 0 for r in results if r not in refused), results
        check_whole(folder / str(i), corpus.expected)
        told += len(refused)
    return f"the second was told {told} times and came after the first {number - told} times; all sets equal to the bit"


# ---- Audio


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Cut off, flip, overwrite, repeat or remove some bytes; more often near the start, where headers are."""
    changed, kind = bytearray(data), rng.choice(["cut", "flip", "flips", "overwrite", "zeros", "insert", "remove"])
    at = rng.randrange(min(len(data), 64) if rng.random() < 0.5 else len(data))
    length = rng.choice([1, 2, 4, 16, 500])
    if kind == "cut":
        del changed[at:]
    elif kind in ("flip", "flips"):
        for _ in range(1 if kind == "flip" else 20):
            changed[rng.randrange(at, len(data))] ^= 1 << rng.randrange(8)
    elif kind == "overwrite":
        changed[at : at + length] = rng.randbytes(length)
    elif kind == "zeros":
        changed[at : at + length] = bytes(length)
    elif kind == "insert":
        changed[at:at] = rng.randbytes(length)
    else:
        del changed[at : at + length]
    return bytes(changed)


def absurd_wav(rng: random.Random, samples: bytes) -> bytes:
    """A WAV file whose header lies about channels, rate, width or length."""
    odd = [0, 1, 2, 3, 7, 8, 255, 399, 8_000, 11_025, 44_100, 48_000, 65_535, 2**31 - 1, 2**31, 2**32 - 1]
    channels, rate, bits, length = (
        rng.choice(odd) if rng.random() < 0.4 else usual for usual in (1, 16_000, 16, len(samples))
    )
    width = (channels * bits // 8) % 2**16
    fmt = struct.pack("<HHIIHH", 1, channels % 2**16, rate, (rate * width) % 2**32, width, bits % 2**16)
    riff = struct.pack("<I", 36 + len(samples))
    return b"RIFF" + riff + b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", length) + samples


def audio(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """mutated audio files: cut, flipped bits, overwritten, swapped and absurd headers"""
    speech, originals = folder / "audio", {}
    speech.mkdir()
    sources = [sf.read(path, dtype="int16")[0][:6_000] for path in sorted(corpus.audio.rglob("*.flac"))[:3]]
    for i in range(number):
        samples, suffix = rng.choice(sources), rng.choice(["flac", "wav"])
        whole = io.BytesIO()
        sf.write(whole, samples, 16_000, format=suffix, subtype="PCM_16")
        if suffix == "wav" and rng.random() < 0.4:
            data = absurd_wav(rng, samples.tobytes())
        elif rng.random() < 0.1:  # its samples behind the other's header
            other = io.BytesIO()
            sf.write(other, samples, 16_000, format={"flac": "wav", "wav": "flac"}[suffix], subtype="PCM_16")
            data = other.getvalue()[:64] + whole.getvalue()[64:]
        elif rng.random() < 0.1:
            data, suffix = whole.getvalue(), {"flac": "wav", "wav": "flac"}[suffix]  # by another's name
        else:
            data = mutate(whole.getvalue(), rng)
        (speech / f"{i:03}.{suffix}").write_bytes(data)
        originals[f"{i:03}"] = samples
    start = time.monotonic()
    result = extract("--audio_dir", speech, *TINY, "--save_dir", folder / "out")
    assert result.status in (0, 1) and time.monotonic() - start < BOUND_S, result
    lines = (features_dir(folder / "out") / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    errors = {r["utterance"]: r for r in map(json.loads, lines)}
    unforeseen = {name: r["error"] for name, r in errors.items() if "traceback" in r}
    assert unforeseen == {}, "refused, but by accident"
    done = set(hashes(folder / "out"))
    assert done | errors.keys() == originals.keys() and not done & errors.keys()
    intact = 0
    for name in sorted(done):
        (path,) = speech.glob(f"{name}.*")
        intact += accepted_is_right(path, originals[name])
    reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(r["reason"] for r in errors.values()).most_common())
    return (
        f"{len(errors)} refused ({reasons}); {len(done)} extracted: {intact} hold the original samples, "
        f"{len(done) - intact} are valid WAV of other samples, which nothing can tell"
    )


def accepted_is_right(path: Path, original: np.ndarray) -> bool:
    """Whether a file that was taken holds the original's samples; FLAC, which has checksums, must."""
    from layerwise_nb.audio.decode import load_audio

    waveform, header = load_audio(path)
    if header.sample_rate == 16_000 and np.array_equal(waveform, original / np.float32(32_768)):
        return True
    assert header.format != "FLAC", f"{path.name} was damaged and passed as right: {header}"
    try:  # a second reader of WAV must see the same
        with wave.open(str(path)) as file:
            facts = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") if facts == (16_000, 1, 2) else None
    except (wave.Error, EOFError):
        return False  # of a kind that it does not know
    if samples is not None:
        np.testing.assert_array_equal(waveform, samples / np.float32(32_768), err_msg=path.name)
    return False


def recordings(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """recordings in 12 containers: cut, joined, other lengths in the header, bytes appended, flipped, removed, zeroed"""
    from layerwise_nb.audio.containers import AudioError
    from layerwise_nb.audio.decode import load_audio

    came, wrong = judge(number, rng.randrange(1 << 30), folder, load_audio, AudioError)
    assert wrong == [], "\n".join(wrong)
    refused = sum(n for (_, outcome), n in came.items() if outcome == "refused")
    return f"{refused} refused for what they are, {number - refused} read whole; 0 read short, 0 told to copy in vain"


# ---- Files of features


class Bomb:
    """What a pickle may do when it is opened."""

    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self):
        return (open, (self.marker, "w"))


def rebuilt(arrays: dict[str, np.ndarray], comment: bytes, rng: random.Random, marker: Path) -> bytes:
    """A sound NPZ archive whose content is not what it should be."""
    arrays, kind, whole = (
        dict(arrays),
        rng.choice(["dtype", "pickle", "huge", "order", "missing", "value"]),
        io.BytesIO(),
    )
    name = rng.choice(sorted(arrays))
    raw: dict[str, bytes] = {}
    if kind == "dtype":
        arrays[name] = arrays[name].astype(rng.choice([">f4", "f8", "i4", "c8", "?", "S4", "V4", "f2"]))
    elif kind == "pickle":
        arrays[name] = np.array([Bomb(marker)], dtype=object)
    elif kind == "huge":
        header = io.BytesIO()
        shape = rng.choice([(2**62, 4), (1, 2**40), (-1, 3), (0, 2**60), (2**31,) * 5])
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        raw[name] = header.getvalue() + bytes(64)
    elif kind == "order":
        arrays[name] = np.asfortranarray(arrays[name][0].T)[None]
    elif kind == "missing":
        del arrays[name]
    else:
        arrays[name] = arrays[name] + np.float32(rng.choice([1e-3, np.nan, np.inf]))
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=True)
            archive.writestr(f"{key}.npy", raw.get(key, member.getvalue()))
        archive.comment = comment
    return whole.getvalue()


def npz(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """mutated NPZ files: bits, zip structure, checksums, types, pickled objects, huge shapes"""
    source = sorted(features_dir(corpus.run).glob("*.npz"))[0]
    store, original, marker = folder / "store", load(source), folder / "executed"
    assert reads_as(source, original) == "equal"
    store.mkdir()
    shutil.copy(features_dir(corpus.run) / "run.json", store)
    lines = (features_dir(corpus.run) / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    (record,) = (r for r in map(json.loads, lines) if r["utterance"] == source.stem)
    with zipfile.ZipFile(source) as archive:
        comment = archive.comment
    with (store / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for i in range(number):
            data = source.read_bytes()
            data = mutate(data, rng) if rng.random() < 0.6 else rebuilt(original, comment, rng, marker)
            (store / f"{i:03}.npz").write_bytes(data)
            manifest.write(json.dumps({**record, "utterance": f"{i:03}"}) + "\n")
    start = time.monotonic()
    verified = run("verify", store, "--against", store)  # reads everything, twice
    assert verified.status in (1, 2) and time.monotonic() - start < BOUND_S, verified
    assert "Traceback" not in verified.err, verified.err
    verified = run("verify", store)
    bad = set(re.findall(r"^(\d+): ", verified.out, re.M))
    good = {path.stem for path in store.glob("*.npz")} - bad
    for name in good:  # NumPy's own reader says so too
        arrays = load(store / f"{name}.npz")
        assert arrays.keys() == original.keys(), name
        assert all(a.tobytes() == original[k].tobytes() for k, a in arrays.items()), f"{name} was altered: passed"
    seen = Counter(reads_as(store / f"{name}.npz", original) for name in sorted(good | bad))
    assert not marker.exists(), "a pickle was executed"
    assert seen["altered"] <= len(bad), seen
    return (
        f"verify names {len(bad)} and passes {len(good)}, all equal to the bit; reading refuses {seen['refused']}; "
        "0 pickles executed"
    )


def reads_as(path: Path, original: dict[str, np.ndarray]) -> str:
    """What a reader gets: "refused", "equal", or "altered" (a sound archive of other content: for verify to find)."""
    from layerwise_nb.core.files import DamagedFileError
    from layerwise_nb.features.npz import FeatureFile

    try:
        file = FeatureFile(path)
        arrays, _ = dict(file), file.provenance
    except DamagedFileError:
        return "refused"
    same = arrays.keys() == original.keys() and all(np.array_equal(arrays[k], original[k]) for k in arrays)
    return "equal" if same else "altered"


# ---- Labels


def _labels_text(kind: str, rng: random.Random) -> str:
    """A file of labels of three utterances (or of one), of words that follow one another."""
    rows = []
    for u in ("84-1-0000", "84-1-0001", "84-1-0002"):
        at = 0.0
        for _ in range(rng.randint(4, 8)):
            end = round(at + rng.uniform(0.05, 0.6), 2)
            rows.append(
                (
                    u,
                    at,
                    end,
                    rng.choice(["sh", "iy", "AH0", "sil", "", "ʃ", "don't"])
                    if kind == "textgrid"
                    else rng.choice("abcd"),
                )
            )
            at = end
    one = [row for row in rows if row[0] == "84-1-0000"]
    if kind == "textgrid":
        lines = [
            'File type = "ooTextFile"',
            'Object class = "TextGrid"',
            "",
            "xmin = 0",
            f"xmax = {one[-1][2]}",
            "tiers? <exists>",
        ]
        lines += [
            "size = 1",
            "item []:",
            "    item [1]:",
            '        class = "IntervalTier"',
            '        name = "words"',
            "        xmin = 0",
        ]
        lines += [f"        xmax = {one[-1][2]}", f"        intervals: size = {len(one)}"]
        for k, (_, start, end, label) in enumerate(one, 1):
            lines += [
                f"        intervals [{k}]:",
                f"            xmin = {start}",
                f"            xmax = {end}",
                f'            text = "{label}"',
            ]
    elif kind == "ctm":
        lines = [f"{u} 1 {start:.2f} {end - start:.2f} {label} 0.9" for u, start, end, label in rows]
    elif kind == "tsv":
        lines = ["utterance\tstart\tend\tlabel", *(f"{u}\t{start}\t{end}\t{label}" for u, start, end, label in rows)]
    elif kind == "item":
        lines = [
            "#file onset offset #phone prev-phone next-phone speaker",
            *(f"{u} {a} {b} {x} - - 84" for u, a, b, x in rows),
        ]
    elif kind == "phn":
        lines = [f"{round(16_000 * a)} {round(16_000 * b)} {x}" for _, a, b, x in one]
    elif kind == "words":
        lines = ["signal 84", "nfields 1", "#", *(f"   {b}  122 {x}; {x}; NN" for _, _, b, x in one)]
    else:
        names = sorted({u for u, *_ in rows})
        parts = {u: [row for row in rows if row[0] == u] for u in names}
        lines = [f'{u} "{",".join(r[3] for r in parts[u])}" "{",".join(str(r[2]) for r in parts[u])}"' for u in names]
    return "\n".join(lines) + "\n"


def _what_it_says(kind: str, text: str) -> set[tuple[float, float, str]]:
    """Every (start, end, label) that a file says anywhere, each number whole, by regular expressions and nothing else."""
    n, found = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)", set()
    for line in text.split("\n"):
        if kind == "ctm" and (m := re.fullmatch(rf"\s*\S+\s+\S+\s+{n}\s+{n}\s+(\S+)(\s+\S+)*\s*", line)):
            found.add((float(m[1]), float(m[1]) + float(m[2]), m[3]))
        elif kind == "tsv" and (m := re.fullmatch(rf"[^\t]*\t{n}\t{n}\t([^\t]*)", line)):
            found.add((float(m[1]), float(m[2]), m[3]))
        elif kind == "item" and (m := re.match(rf"\s*\S+\s+{n}\s+{n}\s+(\S+)", line)):
            found.add((float(m[1]), float(m[2]), m[3]))
        elif kind == "phn" and (m := re.fullmatch(r"\s*(\d+)\s+(\d+)\s+(\S+)\s*", line)):
            found.add((int(m[1]) / 16_000, int(m[2]) / 16_000, m[3]))
        elif kind == "words" and (m := re.match(rf"\s*{n}\s+\d+\s*([^;]*)", line)):
            found.add((None, float(m[1]), m[2].strip()))
        elif kind == "alignment.txt" and (m := re.fullmatch(r'\S+ "([^"]*)" "([^"]*)"\s*', line)):
            pairs = zip(m[1].split(","), m[2].split(","), strict=False)
            found |= {(None, float(end), label) for label, end in pairs if re.fullmatch(n, end)}
    if kind == "textgrid":  # the data are the numbers and texts that stand free, whatever is written around them
        data = [m for m in re.finditer(r'"(?:[^"]|"")*"|[^\s"]+', text) if m[0][0] == '"' or re.fullmatch(f"{n}s?", m[0])]
        for a, b, c in zip(data, data[1:], data[2:], strict=False):
            if c[0][0] == '"' and '"' not in a[0] + b[0]:
                found.add((float(a[0].rstrip("s")), float(b[0].rstrip("s")), c[0][1:-1].replace('""', '"')))
    return found


def _mutated(text: str, rng: random.Random) -> bytes:
    """A file with one thing wrong."""
    lines, kind = text.split("\n"), rng.randrange(9)
    k = rng.randrange(len(lines) - 1)
    numbers = list(re.finditer(r"\d+\.\d+|\b\d{3,}\b", text))
    if kind == 0:
        return text[: rng.randrange(len(text))].encode()
    if kind in (1, 2, 3) and numbers:  # a number that is none, or another
        m = rng.choice(numbers)
        other = [
            m[0].replace(".", ","),
            "nan",
            "",
            f"-{m[0]}",
            f"{m[0]}x",
            "1e999",
            m[0].replace(".", ". "),
            m[0].replace("0", "O", 1),
            str(rng.randrange(99)),
        ]
        return (text[: m.start()] + rng.choice(other) + text[m.end() :]).encode()
    if kind == 4:
        del lines[k]
    elif kind == 5:
        lines.insert(rng.randrange(len(lines)), lines[k])
    elif kind == 6:
        j = rng.randrange(len(lines) - 1)
        lines[k], lines[j] = lines[j], lines[k]
    elif kind == 7:
        data = bytearray(text.encode())
        data[rng.randrange(len(data))] = rng.choice([0, 10, 32, 34, 255, rng.randrange(256)])
        return bytes(data)
    else:
        lines[k] = lines[k].replace(" ", rng.choice(["\t", "", "  ", ";"]), 1)
    return "\n".join(lines).encode()


def _as_said(found: list, said: set[tuple]) -> bool:
    """Every interval is one that the file says; an end may be settled at the next start, by rounding."""
    close = lambda a, b: a is None or abs(a - b) < 1e-6  # noqa: E731
    return all(
        any(
            close(a, i.start_s) and x == i.label and (close(b, i.end_s) or 0 < b - i.end_s <= 0.0101)
            for a, b, x in said
        )
        for i in found
    )


def labels(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """files of labels of seven formats with one thing wrong: a number, a line, a byte, an end"""
    from layerwise_nb.labels.alignment import read_alignment

    kinds, told = ["textgrid", "ctm", "tsv", "item", "phn", "words", "alignment.txt"], Counter()
    for k in range(number):
        kind = kinds[k % len(kinds)]
        whole = _labels_text(kind, rng)
        data, path = _mutated(whole, rng), folder / f"{k}.{kind}"
        path.write_bytes(data)
        for utterance in ("84-1-0000", "84-1-0001", "84-1-0002"):
            start = time.monotonic()
            try:
                found = read_alignment(path, utterance)
            except ValueError as error:
                assert str(path) in str(error), error
                told["refused by name"] += 1
            else:
                said = _what_it_says(kind, data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n"))
                assert _as_said(found, said), (path.name, utterance, data, found)
                told["read as they say"] += 1
            assert time.monotonic() - start < BOUND_S, "a hang"
            if kind in ("textgrid", "phn", "words"):
                break
    return f"{dict(told)}; 0 read as something else, 0 hangs"


# ---- Names


def names(number: int, corpus: Corpus, folder: Path, rng: random.Random) -> str:
    """names with .., separators, control characters and %; links out of the folders"""
    outside, speech, out = folder / "outside", folder / "audio", folder / "out"
    sample = next(corpus.audio.rglob("*.flac")).read_bytes()
    for place in (outside, speech / "..a", speech / "a..", speech / "-rf", speech / "…"):
        place.mkdir(parents=True)
    (outside / "secret.flac").write_bytes(sample)
    (speech / "link_to_a_file.flac").symlink_to(outside / "secret.flac")
    (speech / "link_to_a_folder").symlink_to(outside)
    (speech / "link_to_itself").symlink_to(speech)
    pieces = [
        "..",
        "\\",
        "$(id)",
        "%s",
        "%2e%2e",
        "\n",
        "\t",
        "\x1b[2J",
        "\x7f",
        "\u202e",
        " ",
        "~",
        "'",
        '"',
        "é",
        "🎤",
        "C:",
    ]
    for i in range(number):
        stem = "".join(rng.choices(pieces, k=rng.randint(1, 4)))
        place = rng.choice([speech, speech / "a..", speech / "-rf"])
        (place / f"{stem}{i}.flac").write_bytes(sample)
    victim = folder / "victim"
    victim.write_text("mine")
    before = sorted(path for path in folder.rglob("*") if out not in path.parents and path != out)
    result = extract("--audio_dir", speech, *TINY, "--save_dir", out)
    assert result.status in (0, 1) and "Traceback" not in result.err, result
    assert all(line.isprintable() for line in result.out.splitlines()), "something could reach the terminal"
    done = sorted(features_dir(out).glob("*.npz"))
    done[0].unlink()
    done[0].symlink_to(victim)  # a name that leads out of the folder is replaced, and not followed
    assert extract("--audio_dir", speech, *TINY, "--save_dir", out).status == result.status
    assert not done[0].is_symlink() and victim.read_text() == "mine"
    assert before == sorted(path for path in folder.rglob("*") if out not in path.parents and path != out)
    assert hashes(out)[done[0].stem]
    refused = (features_dir(out) / "errors.jsonl").read_text(encoding="utf-8").count("\n")
    return f"{len(done)} extracted inside the output folder, {refused} refused by name; 0 files outside touched"


# ---- All of it

PARTS = {kills: 100, disks: 20, pairs: 10, audio: 300, recordings: 1200, labels: 2100, npz: 300, names: 40}


def table(seed: int, **numbers: int) -> str:
    """Run the parts with so many trials each; a Markdown table of what came of them."""
    lines = [f"| fault (seed {seed}) | trials | what came of it | s |", "|---|--:|---|--:|"]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(Path(folder, "corpus"), random.Random(seed))
        for part, usual in PARTS.items():
            number, place = numbers.get(part.__name__, usual), Path(folder, part.__name__)
            if not number:
                continue
            place.mkdir()
            start = time.monotonic()
            said = part(number, corpus, place, random.Random(f"{seed} {part.__name__}"))
            lines.append(f"| {inspect.getdoc(part)} | {number} | {said} | {time.monotonic() - start:.0f} |")
            shutil.rmtree(place)
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Count what comes of faults.")
    parser.add_argument("--seed", type=int, default=0)
    for part, usual in PARTS.items():
        parser.add_argument(f"--{part.__name__}", type=int, default=usual, help=inspect.getdoc(part).replace("%", "%%"))
    print(table(**vars(parser.parse_args())))
