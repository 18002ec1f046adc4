"""What goes wrong in the middle of an extraction: kills, Ctrl-C, bad audio, full and read-only disks, damage, mistakes.

After each, what has its final name is whole, the message says what to do, and the same command ends as if nothing had
happened: with the same arrays, and without doing anything twice.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess

import faults
import numpy as np
import pytest
import soundfile as sf
from running import (
    Command,
    extract,
    features_dir,
    finish_launch,
    hashes,
    interrupt_while_loading,
    interrupt_while_reading,
    kill_at,
    noises,
    process_of_rank,
    run,
    start_launch,
    start_ranks,
    stop_at,
    temporaries,
    wait_for_files,
)

TINY = ("--device", "cpu", "--model", "random:tiny")
FEW = (*TINY, "--feature_type", "projection")  # little on the disk


def new_files(result) -> int:
    """How many utterances a run says it did itself."""
    if "none of them now" in result.out:
        return 0
    return int(re.search(r"^done .* utterances, (\d+) of them now", result.out, re.M)[1])


def manifest(save_dir) -> dict[str, dict]:
    lines = (features_dir(save_dir) / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len({r["utterance"] for r in records}) == len(records), "an utterance is listed twice"
    return {r["utterance"]: r for r in records}


def check_complete(save_dir, expected: dict[str, str]) -> None:
    """All files, equal to those of an undisturbed run, and nothing else."""
    assert hashes(save_dir) == expected
    assert {name for name, r in manifest(save_dir).items() if r["status"] == "done"} == set(expected)
    assert temporaries(save_dir) == [] and list(save_dir.rglob("manifest.rank*")) == []
    verified = run("verify", save_dir)
    assert verified.status == 0, verified.out


# ---- Killed


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    return noises(tmp_path_factory.mktemp("audio"), [1.5, 0.8, 2.2, 1.1])


@pytest.fixture(scope="session")
def undisturbed(audio, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("undisturbed")
    assert extract("--audio_dir", audio, "--save_dir", save_dir, *TINY, "--batch_seconds", 4).status == 0
    return hashes(save_dir)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("where", ["inside", "before", "after"])
def test_killed_at_any_file(audio, undisturbed, tmp_path, where, number):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path, *TINY, "--batch_seconds", 4)
    killed = Command("extract", *flags, prepare=kill_at(number, where)).wait()
    assert killed.status == -signal.SIGKILL
    finished = hashes(tmp_path)  # reads every array: nothing half-written has a final name
    assert finished.items() <= undisturbed.items()
    assert len(temporaries(tmp_path)) >= (where != "after")

    result = extract(*flags)
    assert result.status == 0
    assert new_files(result) == len(undisturbed) - len(finished)
    check_complete(tmp_path, undisturbed)


@pytest.fixture(scope="session")
def long_audio(tmp_path_factory):
    """Fourteen utterances."""
    durations = random.Random(0).choices([2.0, 2.5, 3.0, 4.0], k=14)
    return noises(tmp_path_factory.mktemp("long_audio"), durations)


@pytest.fixture(scope="session")
def long_undisturbed(long_audio, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("long_undisturbed")
    result = extract("--audio_dir", long_audio, "--save_dir", save_dir, *FEW)
    assert result.status == 0
    return hashes(save_dir)


LOST = "another process of this run exited unexpectedly (killed, or out of memory?)"


@pytest.mark.parametrize("killed_rank", [0, 1])
def test_one_process_of_two_is_killed(long_audio, long_undisturbed, tmp_path, killed_rank):
    flags = ("--audio_dir", long_audio, "--save_dir", tmp_path, *FEW)
    ranks = start_ranks(2, "extract", *flags, prepare=stop_at(1))
    for rank in ranks:
        rank.wait_to_stop()
    ranks[killed_rank].kill()
    assert ranks[killed_rank].wait().status == -signal.SIGKILL
    left = ranks[1 - killed_rank]
    left.kill(signal.SIGCONT)
    result = left.wait()
    assert result.status not in (0, -signal.SIGKILL) and LOST in result.err and "Traceback" not in result.err, result
    finished = hashes(tmp_path)
    assert 2 <= len(finished) and finished.items() < long_undisturbed.items()
    check_goes_on(flags, tmp_path, finished, long_undisturbed)


def test_one_launched_process_of_two_is_killed(long_audio, long_undisturbed, tmp_path):
    flags = ("--audio_dir", long_audio, "--save_dir", tmp_path, *FEW)
    launched = start_launch(2, *flags, slowly=True)
    wait_for_files(tmp_path, 4, lambda: launched.poll() is None)
    os.kill(process_of_rank(launched.pid, 0), signal.SIGKILL)
    result = finish_launch(launched)
    assert result.status != 0 and LOST in result.err
    assert "layerwise_nb/extraction" not in result.err  # no traceback of ours
    finished = hashes(tmp_path)
    assert finished.items() < long_undisturbed.items()
    check_goes_on(flags, tmp_path, finished, long_undisturbed)


def check_goes_on(flags, save_dir, finished, expected) -> None:
    """The same command does what is missing; the number of processes may change."""
    again = extract(*flags)
    assert again.status == 0 and new_files(again) == len(expected) - len(finished)
    check_complete(save_dir, expected)


def test_one_shard_of_two_is_killed(long_audio, long_undisturbed, tmp_path):
    flags = ("--audio_dir", long_audio, "--save_dir", tmp_path, *FEW)
    with (
        Command("extract", *flags, "--shard", "1/2", prepare=stop_at(1)) as one,
        Command("extract", *flags, "--shard", "2/2", prepare=stop_at(1)) as two,
    ):
        one.wait_to_stop()
        two.wait_to_stop()  # it holds its part for as long as the rest needs
        one.kill()
        assert one.wait().status == -signal.SIGKILL
        whole = extract(*flags)  # would meet the shard that is left
        assert whole.status == 2 and "another run is writing to" in whole.err and "as shard 2/2" in whole.err
        finished = hashes(tmp_path)
        again = extract(*flags, "--shard", "1/2")  # beside the other, whose temporary files it leaves alone
        two.kill(signal.SIGCONT)
        other = two.wait()
    assert (again.status, other.status) == (0, 0), (again.err, other.err)
    assert finished.items() < long_undisturbed.items()
    assert new_files(again) + new_files(other) < len(long_undisturbed)  # not what was done before
    check_complete(tmp_path, long_undisturbed)


# ---- Interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_interrupted(long_audio, long_undisturbed, tmp_path, number):
    flags = ("--audio_dir", long_audio, "--save_dir", tmp_path, *FEW)
    with Command("extract", *flags, prepare=stop_at(3, then_s=0.5)) as command:
        command.wait_to_stop()
        command.kill(number)
        command.kill(signal.SIGCONT)
        result = command.wait()
    assert result.status == 130
    assert result.err == "\nstopping when what is under way is finished; Ctrl-C once more stops at once\n"
    assert "\nstopped      interrupted; the same command goes on where this one stopped\n" in result.out
    finished = hashes(tmp_path)
    assert 3 <= len(finished) < len(long_undisturbed) and finished.items() < long_undisturbed.items()
    assert set(manifest(tmp_path)) == set(finished)
    assert temporaries(tmp_path) == [] and list(tmp_path.rglob("manifest.rank*")) == []
    check_goes_on(flags, tmp_path, finished, long_undisturbed)


def test_interrupted_before_the_first_file(audio, tmp_path):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path / "out", *TINY)
    result = Command("extract", *flags, prepare=interrupt_while_loading).wait()
    assert result.err == "\nlayerwise_extract: interrupted; the same command goes on where this one stopped\n"
    assert (result.status, result.out) == (130, "")


def test_interrupted_twice_stops_at_once(long_audio, tmp_path):
    flags = ("--audio_dir", long_audio, "--save_dir", tmp_path, *FEW)
    with Command("extract", *flags, prepare=stop_at(1, then_s=30)) as command:
        command.wait_to_stop()
        command.kill(signal.SIGINT)
        command.kill(signal.SIGCONT)
        command.wait_to_say("Ctrl-C once more stops at once")
        command.kill(signal.SIGINT)
        assert command.wait().status == -signal.SIGINT
    hashes(tmp_path)  # all whole


def test_interrupted_under_a_launcher(long_audio, long_undisturbed, tmp_path):
    flags = ("--audio_dir", long_audio, "--save_dir", tmp_path, *FEW)
    launched = start_launch(2, *flags, slowly=True)
    wait_for_files(tmp_path, 3, lambda: launched.poll() is None)
    os.killpg(launched.pid, signal.SIGINT)  # as a terminal does
    result = finish_launch(launched)
    assert result.status != 0
    assert "\nstopped      interrupted; the same command goes on where this one stopped\n" in result.out
    finished = hashes(tmp_path)
    assert set(manifest(tmp_path)) == set(finished) and list(tmp_path.rglob("manifest.rank*")) == []
    check_goes_on(flags, tmp_path, finished, long_undisturbed)


@pytest.mark.parametrize("module", ["similarity", "temporal", "visualize"])
def test_an_analysis_interrupted(audio, tmp_path, module):
    assert extract("--audio_dir", audio, "--save_dir", tmp_path / "features", *TINY).status == 0
    flags = ("--features_dir", tmp_path / "features", "--output_dir", tmp_path / "results")
    result = Command(module, *flags, prepare=interrupt_while_reading).wait()
    assert result.status == 130
    command = f"layerwise_{module.removesuffix('_analysis')}"
    assert result.err.splitlines()[-1].startswith(f"{command}: interrupted; ") and "Traceback" not in result.err
    assert [path for path in tmp_path.glob("results/**/*") if path.is_file()] == []


def test_the_whole_run_interrupted(long_audio, tmp_path):
    flags = ("--audio_dir", long_audio, "--output_dir", tmp_path, *TINY)
    with Command("run", *flags, prepare=stop_at(1, then_s=0.5)) as command:
        command.wait_to_stop()
        command.kill(signal.SIGINT)
        command.kill(signal.SIGCONT)
        result = command.wait()
    assert result.status == 130 and not (tmp_path / "clean_analysis").exists()
    assert result.out.endswith("\nstopped      interrupted; the same command goes on where this one stopped\n")


# ---- Bad audio


@pytest.fixture
def bad_audio(tmp_path):
    """One of everything that a corpus may hold, with names that a shell would choke on."""
    folder, rng = tmp_path / "bad audio", np.random.default_rng(0)
    folder.mkdir()

    def noise(n):
        return 0.1 * rng.standard_normal(n)

    sf.write(folder / "both.flac", noise(8_000), 16_000)
    sf.write(folder / "both.wav", noise(9_000), 16_000)
    sf.write(folder / "cut.flac", noise(16_000), 16_000)
    whole = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "text.flac").write_text("MISTER QUILTER IS THE APOSTLE OF THE MIDDLE CLASSES")
    (folder / "empty.flac").touch()
    sf.write(folder / "8 kHz.wav", noise(8_000), 8_000)
    sf.write(folder / "stereo.wav", noise(16_000).reshape(-1, 2), 16_000)
    sf.write(folder / "399.wav", noise(399), 16_000)
    sf.write(folder / "400.wav", noise(400), 16_000)
    sf.write(folder / "nan.wav", np.r_[noise(900), np.nan].astype(np.float32), 16_000, subtype="FLOAT")
    sf.write(folder / "Ænd ’größer’ 東京 $x;.wav", noise(5_000), 16_000)
    (folder / "dangling.wav").symlink_to("gone.wav")
    shutil.copy(folder / "stereo.wav", os.fsencode(folder) + b"/bell\a \xff.wav")
    return folder


def test_bad_files_stop_nothing(bad_audio, tmp_path):
    flags = ("--audio_dir", bad_audio, "--save_dir", tmp_path / "out", *TINY)
    result = extract(*flags)
    assert result.status == 1
    done = {"both": 8_000, "8 kHz": 16_000, "stereo": 8_000, "400": 400, "Ænd ’größer’ 東京 $x;": 5_000}
    frames = {path.stem: np.load(path)["conv_6"].shape[2] for path in features_dir(tmp_path / "out").glob("*.npz")}
    assert frames == {name: (n - 400) // 320 + 1 for name, n in done.items()}

    expected = {
        "cut": ("truncated", "breaks off while decoding|is truncated"),
        "text": ("not audio", "is not audio that can be read here"),
        "empty": ("empty", "is an empty file: copy it again"),
        "399": ("too short", "has 399 samples; a frame needs at least 400: leave it out"),
        "nan": ("not finite", "holds NaN or Inf, first at sample 900"),
        "dangling": ("unreadable", r"No such file or directory \(a link whose target is gone\)"),
        "bell\a \udcff": ("bad name", "has characters that cannot be printed: rename it"),
    }
    errors = (features_dir(tmp_path / "out") / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    errors = {r["utterance"]: r for r in map(json.loads, errors)}
    assert {name: r["reason"] for name, r in errors.items()} == {name: reason for name, (reason, _) in expected.items()}
    assert "failed       7 (" in result.out
    for name, (reason, message) in expected.items():
        assert re.search(message, errors[name]["error"]), errors[name]
        shown = name if name.isprintable() else r"'bell\\x07 \\udcff'"  # nothing rings, and nothing fails to be encoded
        assert re.search(rf"^  {shown}: {reason}: .*({message})", result.out, re.M), result.out
    assert "resampled    1 of 8000 Hz, to 16000 Hz\n" in result.out
    with np.load(features_dir(tmp_path / "out") / "8 kHz.npz") as file:
        assert json.loads(file.zip.comment)["audio_sample_rate"] == 8_000

    # what was bad is tried again, and forgotten when it is gone
    for name in ("text.flac", "empty.flac", "399.wav", "nan.wav", "dangling.wav"):
        (bad_audio / name).unlink()
    os.unlink(os.fsencode(bad_audio) + b"/bell\a \xff.wav")
    sf.write(bad_audio / "cut.flac", np.zeros(16_000), 16_000)
    again = extract(*flags)
    assert (again.status, new_files(again)) == (0, 1)
    assert (features_dir(tmp_path / "out") / "errors.jsonl").read_text() == ""


def test_two_files_of_one_name(tmp_path):
    for name in ("a_b/c.wav", "a/b_c.wav"):
        (tmp_path / name).parent.mkdir()
        sf.write(tmp_path / name, np.zeros(4_000), 16_000)
    result = extract("--audio_dir", tmp_path, "--save_dir", tmp_path / "out", *TINY)
    assert result.status == 2 and not (tmp_path / "out").exists()
    assert re.fullmatch(
        r"layerwise_extract: two audio files would both be called a_b_c: .*; rename one, .*\n", result.err
    )
    assert f"{tmp_path}/a/b_c.wav" in result.err and f"{tmp_path}/a_b/c.wav" in result.err


# ---- Disks


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MB; `mount(options)` changes it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> subprocess.CompletedProcess:
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)

    try:
        mounted = mount("size=8m")
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    yield folder, lambda options: mount(f"remount,{options}").check_returncode()
    subprocess.run(["umount", folder], check=True)


def test_full_disk(disk, tmp_path):
    folder, remount = disk
    audio = noises(tmp_path / "audio", [4.0, 3.8, 4.1, 3.9, 2.0, 4.3, 3.0, 1.0])  # 11 MB of features
    flags = ("--audio_dir", audio, "--save_dir", folder, *TINY)
    refused = extract(*flags)
    assert refused.status == 2 and hashes(folder) == {}
    assert re.search(
        r"need up to \d+\.\d MB and .* has 8\.\d MB free: choose another --save_dir, .* or --force", refused.err
    )

    full = extract(*flags, "--force")
    assert (full.status, full.err) == (1, "")
    assert re.search(
        r"^stopped      cannot write to .* \(No space left on device\): make room, .*; the same command", full.out, re.M
    )
    finished = hashes(folder)  # all whole
    assert 0 < len(finished) < 8 and temporaries(folder) == []

    remount("size=64m")
    again = extract(*flags)
    assert again.status == 0 and new_files(again) == 8 - len(finished)
    assert extract("--audio_dir", audio, "--save_dir", tmp_path / "roomy", *TINY).status == 0
    check_complete(folder, hashes(tmp_path / "roomy"))


def test_read_only_disk(disk, audio, undisturbed):
    folder, remount = disk
    flags = ("--audio_dir", audio, *TINY, "--batch_seconds", 4, "--save_dir")
    assert extract(*flags, folder / "old").status == 0
    remount("ro")
    for save_dir in (folder / "old", folder / "new"):
        result = extract(*flags, save_dir)
        assert (result.status, result.out) == (2, "")
        there = save_dir if save_dir.exists() else folder
        assert result.err == (
            f"layerwise_extract: --save_dir: {there} cannot be written to (its file system is read-only): choose another\n"
        )
    verified = run("verify", folder / "old")
    assert verified.status == 0 and hashes(folder / "old") == undisturbed  # reading needs no right to write


# ---- Damage


def test_damaged_files(audio, undisturbed, tmp_path):
    flags = ("--audio_dir", audio, "--save_dir", tmp_path, *TINY, "--batch_seconds", 4)
    assert extract(*flags).status == 0
    cut, flipped, *_ = sorted(features_dir(tmp_path).glob("*.npz"))

    cut.write_bytes(cut.read_bytes()[:-1_000])
    result = extract(*flags)
    assert (result.status, new_files(result)) == (0, 1)
    assert re.search(rf"^redoing {cut.stem}: .*{cut.name} is damaged: ", result.out, re.M)
    assert hashes(tmp_path) == undisturbed

    data = bytearray(flipped.read_bytes())
    data[data.index(b"conv_2.npy") + 2_000] ^= 1  # inside the third array
    flipped.write_bytes(data)
    verified = run("verify", tmp_path)
    assert verified.status == 1
    assert re.search(
        rf"^{flipped.stem}: .*{flipped.name} is damaged: .*conv_2.*; extract with --resume", verified.out, re.M
    )
    assert verified.out.endswith("4 files: 3 good, 1 problems\n")
    assert new_files(extract(*flags)) == 0  # its size says nothing
    redone = extract(*flags, "--resume")
    assert (redone.status, new_files(redone)) == (0, 1)
    check_complete(tmp_path, undisturbed)


def test_audio_that_changed(audio, tmp_path):
    audio = shutil.copytree(audio, tmp_path / "audio")
    flags = ("--audio_dir", audio, "--save_dir", tmp_path / "out", *TINY)
    assert extract(*flags).status == 0
    before, (path, other, *_) = hashes(tmp_path / "out"), sorted(audio.rglob("*.flac"))
    sf.write(path, np.random.default_rng(9).uniform(-0.1, 0.1, sf.info(path).frames), 16_000)  # as long as it was
    sf.write(other, np.zeros(7_000), 16_000)  # of another length: seen without reading
    changed = extract(*flags)
    assert (changed.status, new_files(changed)) == (0, 1)
    thorough = extract(*flags, "--resume")
    assert (thorough.status, new_files(thorough)) == (0, 1)
    assert re.search(rf"^redoing .*: it was made when {path} was another file$", thorough.out, re.M)
    after = hashes(tmp_path / "out")
    assert sum(after[name] != before[name] for name in before) == 2


# ---- Mistakes


def test_a_folder_is_of_one_corpus(audio, undisturbed, tmp_path):
    flags = (*TINY, "--batch_seconds", 4, "--save_dir", tmp_path / "out", "--dataset_split", "speech")
    moved = shutil.copytree(audio, tmp_path / "moved")  # as onto the own disk of each machine
    for number, folder in ((1, audio), (2, moved)):
        assert extract("--audio_dir", folder, *flags, "--shard", f"{number}/2").status == 0
    again = extract("--audio_dir", moved, *flags)
    assert (again.status, new_files(again)) == (0, 0)
    sf.write(moved / "short.flac", np.zeros(399), 16_000)
    assert extract("--audio_dir", moved, *flags).status == 1
    failed = (features_dir(tmp_path / "out") / "errors.jsonl").read_text(encoding="utf-8")
    assert "short" in failed

    noisy = noises(tmp_path / "noisy", [1.6, 0.9, 2.3, 1.2])  # of the same names
    renamed = tmp_path / "renamed"
    for path in audio.rglob("*.flac"):
        (renamed / path.stem).mkdir(parents=True)
        shutil.copy(path, renamed / path.stem / "speech.flac")
    for folder, why in ((noisy, r"\S+ is another recording there"), (renamed, "none of its utterances is asked for now")):
        refused = extract("--audio_dir", folder, *flags)
        assert refused.status == 2
        assert re.fullmatch(
            rf"layerwise_extract: \S+ holds features of {moved}, expected those of {folder}; {why}: .*\n", refused.err
        )
        assert hashes(tmp_path / "out") == undisturbed
        assert (features_dir(tmp_path / "out") / "errors.jsonl").read_text(encoding="utf-8") == failed


def test_the_analysis_is_checked_before_the_extraction(audio, tmp_path):
    flags = ("--audio_dir", audio, "--output_dir", tmp_path / "out", "--device", "cpu", "--model", "random:tiny")
    for wrong in (("--only", "similarities"), ("--formats", "jpeg")):
        result = run("run", *flags, *wrong)
        assert result.status == 2 and f"{wrong[0]} must be among" in result.err and not (tmp_path / "out").exists()


def test_other_settings_are_refused(audio, saved_tiny, tmp_path):
    model = shutil.copytree(saved_tiny, tmp_path / "model")
    flags = ("--audio_dir", audio, "--save_dir", tmp_path / "out", "--device", "cpu", "--model", model)
    assert extract(*flags).status == 0
    before = hashes(tmp_path / "out")
    other_type = extract(*flags, "--dtype", "float16")
    assert other_type.status == 2 and "dtype was 'float32', now 'float16'" in other_type.err

    from layerwise_nb.models.load import load_model

    load_model("random:tiny", seed=1).model.save_pretrained(model)  # under the same name
    other_model = extract(*flags)
    assert other_model.status == 2
    assert re.search(r"weights_sha256 was '\w{64}', now '\w{64}'\): choose another --save_dir", other_model.err)
    assert hashes(tmp_path / "out") == before


def test_a_second_run_at_the_same_time(long_audio, tmp_path):
    flags = ("--audio_dir", long_audio, "--save_dir", tmp_path, *FEW)
    with Command("extract", *flags, prepare=stop_at(1)) as first:
        first.wait_to_stop()  # it holds the folder for as long as the second needs
        second = extract(*flags)
        first.kill(signal.SIGCONT)
    assert second.status == 2
    assert second.err.startswith(f"layerwise_extract: another run is writing to {features_dir(tmp_path)}: wait for it")


@pytest.fixture
def broken_models(saved_tiny, tmp_path):
    """Folders that are no model: what is missing or wrong by name."""
    for name, gone in (("no_weights", "model.safetensors"), ("no_preprocessor", "preprocessor_config.json")):
        (shutil.copytree(saved_tiny, tmp_path / name) / gone).unlink()
    shutil.copytree(saved_tiny, tmp_path / "cut_weights")
    weights = tmp_path / "cut_weights/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1_000])
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text('{"model_type": "bert"}')
    return tmp_path


@pytest.mark.parametrize(
    "model, message",
    [
        ("no_weights", "model.safetensors"),
        ("cut_weights", "do not load"),
        ("no_preprocessor", "no preprocessor_config.json, which says whether waveforms are normalized: copy it"),
        ("bert", "expected a model of .*hubert.* is 'bert'"),
        ("nobody/no-such-model", "expected a name on the Hugging Face hub .reachable, or downloaded before"),
        ("random:huge", "a random model is one of random:base, random:large, random:tiny, .*; got 'random:huge'"),
    ],
)
def test_models_that_do_not_load(audio, broken_models, tmp_path, model, message):
    folder = broken_models / model
    model = folder if folder.is_dir() else model
    flags = ("--audio_dir", audio, "--save_dir", tmp_path / "out", "--device", "cpu", "--model", model)
    result = extract(*flags)
    assert (result.status, result.out) == (2, "")
    assert re.fullmatch(rf"layerwise_extract: .*{message}.*\n", result.err), result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--save_dir", "out"), "--audio_dir is needed: a folder of audio files"),
        (("--audio_dir", "nowhere", "--save_dir", "out"), "nowhere does not exist: check --audio_dir"),
        (("--audio_dir", ".", "--save_dir", "out"), "expected audio files .* below .*; found none"),
        (("--audio_dir", "synthetic", "--save_dir", "out", "--device", "cuda"), "torch sees no GPU; use --device cpu"),
    ],
)
def test_calls_that_make_no_sense(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    result = run("extract", "--model", "random:tiny", *flags, CUDA_VISIBLE_DEVICES="")
    assert (result.status, result.out) == (2, "")
    assert re.fullmatch(rf"layerwise_extract: .*{message}.*\n", result.err), result.err
    assert list(tmp_path.iterdir()) == []


# ---- A slice of the fault program, whose long form is `python tests/faults.py`


def test_faults_at_random():
    print(faults.table(1, kills=6, disks=1, pairs=1, audio=40, recordings=80, labels=100, npz=50, names=15))
