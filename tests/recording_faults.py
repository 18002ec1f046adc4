"""Break recordings in every container in the ways that copies, pipes, recorders and disks break them.

Each file is made from known samples, so how many of them it holds is known, too. What is taken must hold all of them.
"""

import io
import random
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

RATE, BOUND_S = 16_000, 300
WIDTHS = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}
CHUNKED = {  # suffix, format, subtypes
    "wav": ("WAV", ("PCM_16", "PCM_24", "FLOAT", "ULAW")),
    "wavex": ("WAVEX", ("PCM_16",)),
    "rf64": ("RF64", ("PCM_16",)),
    "w64": ("W64", ("PCM_16", "PCM_24")),
    "aiff": ("AIFF", ("PCM_16", "PCM_24", "FLOAT")),
    "caf": ("CAF", ("PCM_16", "ALAW")),
    "au": ("AU", ("PCM_16", "ULAW")),
    "sph": ("NIST", ("PCM_16",)),
}
STREAMS = {"flac": ("FLAC", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}
# Where a header says how many bytes or samples there are: after which letters, how much further, how many bytes, in which order.
LENGTHS = {
    "wav": [(b"data", 4, 4, "little"), (b"RIFF", 4, 4, "little")],
    "wavex": [(b"data", 4, 4, "little")],
    "rf64": [(b"ds64", 16, 8, "little"), (b"data", 4, 4, "little")],
    "w64": [(b"data", 16, 8, "little")],
    "aiff": [(b"SSND", 4, 4, "big"), (b"COMM", 10, 4, "big")],
    "caf": [(b"data", 4, 8, "big")],
    "au": [(b".snd", 8, 4, "big")],
}
TWICE = ("wav", "wavex", "w64")  # whose header says the size of the whole, too: a wrong size of the samples shows


@dataclass(frozen=True)
class Broken:
    "A recording that something happened to."

    kind: str  # the container
    what: str  # happened
    data: bytes
    overhead: int  # bytes of the whole file that are no samples
    n: int  # samples of the whole file
    whole: int  # bytes of samples of the whole file


def written(kind: str, n: int, rng: random.Random) -> bytes:
    "A sound file of one container."
    name, subtype = CHUNKED.get(kind) or STREAMS[kind]
    subtype = rng.choice(subtype) if isinstance(subtype, tuple) else subtype
    samples = 0.3 * np.random.default_rng(rng.randrange(1 << 30)).standard_normal(n)
    how = {"bitrate_mode": "VARIABLE", "compression_level": 0.8 * rng.random()} if kind == "mp3" and rng.random() < 0.5 else {}
    file = io.BytesIO()
    sf.write(file, samples.clip(-1, 1), RATE, format=name, subtype=subtype, **how)
    data = file.getvalue()
    return data[_first_mp3_frame(data) :] if kind == "mp3" and rng.random() < 0.5 else data  # a stream that counts nothing


def _first_mp3_frame(data: bytes) -> int:
    "How long the frame is that holds the count: 72 bytes for each kbit/s per kHz (MPEG 2, 16 kHz)."
    kbps = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[data[2] >> 4]
    assert b"Xing" in data[:64] or b"Info" in data[:64]
    return 72 * kbps * 1_000 // RATE + (data[2] >> 1 & 1)


def relength(kind: str, data: bytes, rng: random.Random) -> bytes:
    "Another length in the header: what is written before it is known, what a wrapped counter has, or nonsense."
    if kind == "sph":
        at = data.index(b"sample_count -i ") + 16
        digits = data[at : data.index(b"\n", at)]
        other = str(rng.choice([0, 1, int(digits) // 2, int(digits) + 1, 10 * int(digits)])).encode()
        return data[:at] + other.ljust(len(digits))[: len(digits)] + data[at + len(digits) :]
    if kind == "flac":
        n = rng.choice([0, 1, 4_096, 5_000, 1 << 30])
        return data[:21] + bytes([data[21] & 0xF0]) + n.to_bytes(4, "big") + data[26:]
    letters, further, width, order = rng.choice(LENGTHS[kind])
    at = data.index(letters) + further
    size = int.from_bytes(data[at : at + width], order)
    top = (1 << 8 * width) - 1
    early = [0, 8, 2_048, top, top - 36, (1 << 31) - 4_096, 1 << 31]  # written before it is known
    other = rng.choice([*early, size // 2, size - 2, size + 2, 2 * size, size + 36])
    return data[:at] + max(0, min(other, top)).to_bytes(width, order) + data[at + width :]


def broken(number: int, seed: int) -> Iterator[Broken]:
    "So many broken recordings, all containers and all ways in turn."
    rng = random.Random(f"recordings {seed}")
    kinds = [*CHUNKED, *STREAMS]
    for i in range(number):
        kind = kinds[i % len(kinds)]
        n = rng.randrange(5_000, 9_000)
        data = written(kind, n, rng)
        width = 0
        if kind in CHUNKED:
            header = sf.info(io.BytesIO(data))
            width, n = WIDTHS[header.subtype], header.frames
        ways = ["cut", "joined", "length", "appended", "flipped", "removed", "zeros"]
        what = rng.choice([way for way in ways if way != "length" or kind in LENGTHS or kind in ("sph", "flac")])
        other, at = data, rng.randrange(100, len(data))
        if what == "cut":
            other = data[:at]
        elif what == "joined":
            other = data + written(kind, n, random.Random(i))
        elif what == "length":
            other = relength(kind, data, rng)
        elif what == "appended":
            other = data + rng.randbytes(rng.choice([40, 500, 4_000]))
        elif what == "flipped":
            at = rng.randrange(min(len(data), 100) if rng.random() < 0.7 else len(data))
            other = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif what == "removed":
            other = data[:at] + data[at + rng.choice([2, 64, 1_000]) :]
        else:
            length = rng.choice([4, 64, 512])
            other = data[:at] + bytes(length) + data[at + length :]
        yield Broken(kind, what, other, len(data) - n * width if width else 0, n, n * width)


def ffmpeg_count(path: Path) -> tuple[int, int]:
    "Samples a channel that ffmpeg decodes, and their rate."
    from imageio_ffmpeg import get_ffmpeg_exe

    call = [get_ffmpeg_exe(), "-v", "quiet", "-nostdin", "-i", path, "-f", "wav", "-c:a", "pcm_s16le", "-bitexact", "-"]
    wav = subprocess.run(call, capture_output=True).stdout
    channels, rate = struct.unpack_from("<HI", wav, 22) if len(wav) > 44 else (1, RATE)
    return (len(wav) - 44) // 2 // channels, rate


def is_short(case: Broken, path: Path, header) -> bool:
    "Whether fewer samples were taken than the file holds, or than it held before it was cut."
    if case.kind in CHUNKED:
        width = WIDTHS.get(header.subtype)
        taken, held = header.n_samples * header.channels * (width or 0), len(case.data) - case.overhead
        if case.what == "cut":
            held = case.whole
        return width is not None and taken < held - 16
    if case.kind == "mp3":
        there, rate = ffmpeg_count(path)
        return rate == header.sample_rate and header.n_samples < there - 1_152
    return header.n_samples < case.n * (1.9 if case.what == "joined" else 1)  # their checksums leave no room for another length


def judge(number: int, seed: int, folder: Path, load: Callable, refusal: type) -> tuple[Counter, list[str]]:
    "What came of broken recordings, and which were read short, were refused by accident, or took too long."
    came, wrong = Counter(), []
    for i, case in enumerate(broken(number, seed)):
        path = folder / f"{i:04}.{case.kind.replace('wavex', 'wav').replace('rf64', 'wav')}"
        path.write_bytes(case.data)
        start = time.monotonic()
        try:
            _, header = load(path)
            outcome = "short" if is_short(case, path, header) else "whole"
        except refusal as error:
            outcome = "refused"
            if error.reason == "truncated" and (case.what == "joined" or (case.what == "length" and case.kind in TWICE)):
                outcome = "wrong advice"  # nothing is missing: to copy it again would not help
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        if time.monotonic() - start > BOUND_S:
            outcome = "slow"
        came[case.kind, outcome] += 1
        if outcome not in ("whole", "refused"):
            wrong.append(f"{i} {case.kind}, {case.what}: {outcome}")
        path.unlink()
    return came, wrong
