"""Extraction from the command line, on real speech where it is at hand: are the numbers right, and always the same?"""

import json
import re
import shutil
import threading

import numpy as np
import pytest
import soundfile as sf
from running import (
    Command,
    extract,
    features_dir,
    finish_launch,
    hashes,
    launch_in_terminal,
    load,
    noises,
    run,
    run_ranks,
    start_launch,
)

TINY = ("--model", "random:tiny")
GROUPS = {  # of a model with two blocks
    "cnn": [*(f"conv_{i}" for i in range(7)), "cnn_final_raw"],
    "projection": ["after_transpose", "after_projection"],
    "transformer": ["transformer_input", "transformer_layer_0", "transformer_layer_1"],
}
# Largest |a - b| / |b| allowed against the plain forward pass. Alone, an utterance goes through the same operations (0 was
# measured); in a padded batch the matrix products have other shapes, and float32 rounds them otherwise (1e-6).
ALONE, BATCHED = 1e-6, 5e-6


# ---- Every feature of every file against Hugging Face's own forward pass


def plain_forward(model, feature_extractor, waveform) -> dict[str, np.ndarray]:
    """All features of one utterance by the usual means: hooks on the convolutions, and `output_hidden_states`."""
    import torch

    features, handles = {}, []
    for i, layer in enumerate(model.feature_extractor.conv_layers):
        handles.append(layer.register_forward_hook(lambda m, a, out, name=f"conv_{i}": features.update({name: out})))
    hook = model.feature_projection.register_forward_hook(lambda m, a, out: features.update(after_projection=out))
    values = feature_extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        hidden_states = model(values, output_hidden_states=True).hidden_states
    for handle in (*handles, hook):
        handle.remove()
    features["cnn_final_raw"] = features["conv_6"]
    features["after_transpose"] = features["conv_6"].transpose(1, 2)
    features["transformer_input"] = hidden_states[0]
    features |= {f"transformer_layer_{i}": h for i, h in enumerate(hidden_states[1:])}
    return {name: feature.numpy() for name, feature in features.items()}


@pytest.fixture(scope="session")
def tiny(saved_tiny):
    """Model and feature extractor as Hugging Face loads them."""
    from transformers import HubertModel, Wav2Vec2FeatureExtractor

    return HubertModel.from_pretrained(saved_tiny).eval(), Wav2Vec2FeatureExtractor.from_pretrained(saved_tiny)


@pytest.fixture(scope="session")
def base():
    """HuBERT-base with the weights of seed 0, made without this package."""
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return HubertModel(HubertConfig()).eval(), Wav2Vec2FeatureExtractor(do_normalize=True)


def largest_errors(model, audio, *folders) -> list[float]:
    """Of each folder, over all features of all files; names, shapes and type must agree."""
    import torch

    torch.set_num_threads(1)
    errors, paths = [0.0] * len(folders), sorted(audio.rglob("*.flac"))
    names = ["_".join(path.relative_to(audio).with_suffix(".npz").parts) for path in paths]
    assert all(sorted(p.name for p in folder.glob("*.npz")) == sorted(names) for folder in folders)
    for path, name in zip(paths, names, strict=True):
        expected = plain_forward(*model, sf.read(path, dtype="float32")[0])
        for i, folder in enumerate(folders):
            arrays = load(folder / name)
            assert set(arrays) == set(expected)
            for feature, array in arrays.items():
                reference = expected[feature]
                assert (array.dtype, array.shape) == (np.float32, reference.shape), (name, feature)
                assert array.flags.c_contiguous, (name, feature)
                errors[i] = max(errors[i], float(np.linalg.norm(array - reference) / np.linalg.norm(reference)))
    return errors


@pytest.fixture(scope="session")
def tiny_run(speech, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("tiny_run")
    result = extract("--audio_dir", speech, "--save_dir", save_dir, *TINY)
    assert (result.status, result.err) == (0, "")
    return save_dir


@pytest.fixture(scope="session")
def tiny_batched(speech, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("tiny_batched")
    assert extract("--audio_dir", speech, "--save_dir", save_dir, *TINY, "--batch_seconds", "60").status == 0
    return save_dir


def test_every_feature_of_every_file(tiny, tiny_run, tiny_batched, speech):
    alone, batched = largest_errors(tiny, speech, features_dir(tiny_run), features_dir(tiny_batched))
    print(f"largest error alone {alone:.1e}, in batches {batched:.1e}")
    assert alone < ALONE and batched < BATCHED
    assert hashes(tiny_batched) != hashes(tiny_run), "not one bit differs: were there batches at all?"


@pytest.fixture(scope="session")
def six_files(real_speech, tmp_path_factory):
    """Six short utterances of real speech by links, 2.0 to 4.0 s."""
    folder = tmp_path_factory.mktemp("six")
    names = "1988-24833-0000 19-198-0000 3752-4944-0000 26-496-0006 2412-153948-0002 27-124992-0019".split()
    for path in real_speech.rglob("*.flac"):
        if path.stem in names:
            (folder / path.name).symlink_to(path)
    assert len(list(folder.iterdir())) == 6
    return folder


def test_hubert_base_on_real_speech(base, six_files, tmp_path):
    flags = ("--audio_dir", six_files, "--model", "random", "--save_dir")
    assert extract(*flags, tmp_path / "alone").status == 0
    assert extract(*flags, tmp_path / "batched", "--batch_seconds", 60).status == 0
    folders = features_dir(tmp_path / "alone"), features_dir(tmp_path / "batched")
    alone, batched = largest_errors(base, six_files, *folders)
    print(f"largest error alone {alone:.1e}, in batches {batched:.1e}")
    assert alone < ALONE and batched < BATCHED
    for folder in folders:
        arrays = load(folder / "1988-24833-0000.npz")  # 53,120 samples: 165 frames, and not 166
        assert len(arrays) == 23
        assert [arrays[f"conv_{i}"].shape[2] for i in range(7)] == [10623, 5311, 2655, 1327, 663, 331, 165]
        assert all(a.shape == (1, 165, 768) for name, a in arrays.items() if name.startswith("transformer"))


# ---- Any number of processes


@pytest.fixture(scope="session")
def one_process(speech, tmp_path_factory):
    """What several processes are compared with: batches of 20 s by one process."""
    save_dir = tmp_path_factory.mktemp("one_process")
    flags = ("--batch_seconds", 20, "--threads", 1)
    assert extract("--audio_dir", speech, "--save_dir", save_dir, *TINY, *flags).status == 0
    return save_dir


def test_launched_processes_write_the_same_bytes(speech, one_process, tmp_path):
    flags = ("--batch_seconds", 20, "--threads", 1)
    result = launch_in_terminal(2, "--audio_dir", speech, "--save_dir", tmp_path, *TINY, *flags)
    assert result.status == 0, result.err
    check_shares(2, result.out, tmp_path, one_process)
    late = r"waiting 10 minutes \(--wait_minutes\) for process \d of \d to come\s*"  # said where a start takes half a minute
    bars = [bar for bar in re.split(r"\r", re.sub(late, "", result.err)) if bar.strip()]
    assert [bar for bar in bars if not bar.startswith("extract: ")] == []  # nothing else is printed, such as a warning
    # one bar over all processes, until the last one is done
    assert re.fullmatch(r"extract: 100%\|.*\[.*, (\d+)/\1 files, \d+\.\d x real time\]\s*", bars[-1]), bars


def test_three_processes_write_the_same_bytes(speech, one_process, tmp_path):
    flags = ("--audio_dir", speech, "--save_dir", tmp_path, *TINY, "--device", "cpu", "--batch_seconds", 20, "--threads", 1)
    results = run_ranks(3, "extract", *flags)
    assert [r.status for r in results] == [0, 0, 0], results
    check_shares(3, results[0].out, tmp_path, one_process)


def check_shares(num_processes: int, out: str, save_dir, one_process) -> None:
    """The bytes of one process, and every process did what it says it did."""
    expected, folder = hashes(one_process), features_dir(save_dir)
    assert hashes(save_dir) == expected
    same_bytes(save_dir, one_process)
    shares = re.findall(r"^process (\d+) +(\d+) files, (\d+\.\d) (s|min|h) of audio$", out, re.M)
    assert [int(rank) for rank, *_ in shares] == list(range(num_processes))
    manifest = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    did = [sum(record["rank"] == rank for record in manifest) for rank in range(num_processes)]
    assert did == [int(files) for _, files, *_ in shares] and min(did) > 0 and sum(did) == len(expected)
    assert list(folder.glob("manifest.rank*")) == []


def test_processes_write_the_same_bytes_of_another_family(small, tmp_path):
    """A small Whisper, whose windows and padding are its own: 1, 2 and 3 processes, forked from one that has torch."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = dict(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16, decoder_layers=1, vocab_size=64)
    config |= dict(decoder_attention_heads=2, decoder_ffn_dim=8, pad_token_id=1, bos_token_id=1, eos_token_id=1)
    torch.manual_seed(0)
    WhisperModel(WhisperConfig(**config, decoder_start_token_id=1)).save_pretrained(tmp_path / "whisper")
    WhisperFeatureExtractor().save_pretrained(tmp_path / "whisper")
    flags = ("--audio_dir", small, "--model", tmp_path / "whisper", "--batch_seconds", 3, "--threads", 1)
    for n in (1, 2, 3):
        command = ("extract", "--device", "cpu", *flags, "--save_dir", tmp_path / str(n))
        results = run_ranks(n, *command) if n > 1 else [run(*command)]
        assert [r.status for r in results] == [0] * n, results
        assert len(re.findall(r"^process \d", results[0].out, re.M)) == n
        same_bytes(tmp_path / str(n), tmp_path / "1")
    assert len(hashes(tmp_path / "3")) == 6


def same_bytes(one, other) -> None:
    """All files of two runs are equal, provenance and all."""
    files = {path.name: path.read_bytes() for path in features_dir(one).glob("*.npz")}
    assert files == {path.name: path.read_bytes() for path in features_dir(other).glob("*.npz")}


def listed(save_dir) -> list[str]:
    """The utterances in the manifest, in its order."""
    lines = (features_dir(save_dir) / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["utterance"] for line in lines]


def test_two_machines_write_the_same_bytes(speech, one_process, tmp_path, machines):
    flags = ("--audio_dir", speech, "--save_dir", tmp_path, *TINY, "--batch_seconds", 20, "--threads", 1)
    launches = [machines.start(machine, *flags) for machine in (0, 1)]
    results = [finish_launch(launch) for launch in launches]
    assert [r.status for r in results] == [0, 0], results
    same_bytes(tmp_path, one_process)
    assert "process 1 " in results[0].out and results[1].out == ""  # machine 0 speaks for both
    assert listed(tmp_path) == listed(one_process)


def test_shards_write_the_same_bytes(speech, one_process, tmp_path):
    flags = ("--audio_dir", speech, "--save_dir", tmp_path, *TINY, "--device", "cpu", "--batch_seconds", 20)
    at_once = [Command("extract", *flags, "--shard", f"{i}/3") for i in (1, 2, 3)]  # no one is first
    results = [command.wait() for command in at_once]
    assert [r.status for r in results] == [0, 0, 0], results
    same_bytes(tmp_path, one_process)
    assert listed(tmp_path) == listed(one_process) == sorted(hashes(one_process))
    assert [p.name for p in features_dir(tmp_path).glob("manifest*")] == ["manifest.jsonl"]
    found = [int(re.search(r"(\d+) files found for shard \d/3 in .*, \1 to do", r.out)[1]) for r in results]
    assert sum(found) == len(listed(tmp_path))
    run_json = json.loads((features_dir(tmp_path) / "run.json").read_text())
    assert (run_json["status"], sorted(run_json["shards"])) == ("finished", ["1of3", "2of3", "3of3"])
    status = run("status", tmp_path)
    assert f"utterances  {sum(found)} done of {sum(found)} found (100%), 0 failed" in status.out


def test_an_error_under_a_launcher_is_told_once(tmp_path):
    flags = ("--audio_dir", tmp_path / "none", "--save_dir", tmp_path / "out", *TINY)
    result = finish_launch(start_launch(2, *flags))
    assert result.status != 0
    assert "layerwise_extract: expected a folder of audio files" in result.err
    assert result.err.count("layerwise_extract: ") == 1, result.err
    assert "layerwise_nb/extraction" not in result.err  # the traceback is the launcher's, not ours


# ---- Flags


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return noises(tmp_path_factory.mktemp("small"), [1.5, 0.8, 2.2, 1.1, 0.4, 1.9])


@pytest.fixture(scope="session")
def small_run(small, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("small_run")
    assert extract("--audio_dir", small, "--save_dir", save_dir, *TINY).status == 0
    return save_dir


def pairs(one, other):
    """The files of two runs side by side."""
    paths = sorted(features_dir(one).glob("*.npz"))
    assert paths and [p.name for p in paths] == sorted(p.name for p in features_dir(other).glob("*.npz"))
    return [(load(path), load(features_dir(other) / path.name)) for path in paths]


@pytest.mark.parametrize("feature_type", GROUPS)
def test_feature_type(small, small_run, tmp_path, feature_type):
    flags = ("--feature_type", feature_type)
    result = extract("--audio_dir", small, "--save_dir", tmp_path, *TINY, *flags)
    assert result.status == 0
    assert f"{len(GROUPS[feature_type])} features" in result.out
    assert features_dir(tmp_path).parent.name == f"hubert-tiny-random-seed0_{feature_type}"
    for group, everything in pairs(tmp_path, small_run):
        assert list(group) == GROUPS[feature_type]
        for name, array in group.items():
            np.testing.assert_array_equal(array, everything[name])


def test_float16_is_the_float32_rounded(small, small_run, tmp_path):
    assert extract("--audio_dir", small, "--save_dir", tmp_path, *TINY, "--dtype", "float16").status == 0
    for half, full in pairs(tmp_path, small_run):
        for name, array in half.items():
            assert array.dtype == np.float16
            np.testing.assert_array_equal(array, full[name].astype(np.float16))
    assert run("verify", tmp_path).status == 0


def test_bf16_is_close_and_stored_as_float32(small, small_run, tmp_path):
    assert extract("--audio_dir", small, "--save_dir", tmp_path, *TINY, "--precision", "bf16").status == 0
    for low, full in pairs(tmp_path, small_run):
        for name, array in low.items():
            assert array.dtype == np.float32
            assert 1e-5 < np.linalg.norm(array - full[name]) / np.linalg.norm(full[name]) < 0.05, name


def test_a_saved_model_is_the_model(small, small_run, saved_tiny, tmp_path):
    result = extract("--audio_dir", small, "--save_dir", tmp_path, "--model", saved_tiny)
    assert (result.status, result.err) == (0, "")
    assert hashes(tmp_path) == hashes(small_run)
    # a folder is the same model by whatever path it is named
    again = extract("--audio_dir", small, "--save_dir", tmp_path, "--model", f"{saved_tiny}/../tiny/")
    assert again.status == 0 and "none of them now" in again.out


def test_a_sample_of_files(small, small_run, tmp_path):
    chosen = []
    for sample in (1, 2, 1):
        shutil.rmtree(tmp_path)
        flags = ("--num_files", 3, "--sample", sample, "--dataset_split", "dev-clean")
        assert extract("--audio_dir", small, "--save_dir", tmp_path, *TINY, *flags).status == 0
        assert features_dir(tmp_path).name == f"librispeech_dev-clean_sample{sample}"
        chosen.append(hashes(tmp_path))
    assert len(chosen[0]) == 3 and chosen[0] == chosen[2] != chosen[1]
    assert chosen[0].items() <= hashes(small_run).items()


def test_windows(small, tiny, tmp_path):
    result = extract("--audio_dir", small, "--save_dir", tmp_path, *TINY, "--segment_seconds", 1)
    assert result.status == 0
    # 1.5, 0.8, 2.2, 1.1, 0.4 and 1.9 s in windows of a second, of 49 frames: 2, 1, 3, 2, 1 and 2 files
    assert len(hashes(tmp_path)) == 11 and "11 utterances found" in result.out
    windows = sorted(features_dir(tmp_path).glob("12_0_12-0-0002_seg*.npz"))
    waveform = sf.read(small / "12/0/12-0-0002.flac", dtype="float32")[0]
    assert [load(path)["conv_6"].shape[2] for path in windows] == [49, 49, 11]  # 109 in all: (35,200 - 400) // 320 + 1
    for path, first, last in zip(windows, (0, 49, 98), (48, 97, 108), strict=True):
        expected = plain_forward(*tiny, waveform[first * 320 : last * 320 + 400])
        for name, array in load(path).items():
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-5)


def test_compression_changes_no_number(tmp_path):
    flags = ("--audio_dir", "synthetic", *TINY, "--num_files", 3)
    assert extract("--save_dir", tmp_path / "none", *flags, "--compression", "none").status == 0
    assert extract("--save_dir", tmp_path / "deflate", *flags).status == 0
    assert hashes(tmp_path / "none") == hashes(tmp_path / "deflate")
    plain, packed = ((features_dir(tmp_path / name) / "manifest.jsonl") for name in ("none", "deflate"))
    plain, packed = ({r["utterance"]: r for r in map(json.loads, path.read_text().splitlines())} for path in (plain, packed))
    for name, record in plain.items():
        assert record["hash"] == packed[name]["hash"] and 1.04 < record["bytes"] / packed[name]["bytes"] < 1.12
    again = extract("--save_dir", tmp_path / "none", *flags, "--resume")  # files of both kinds may lie in one folder
    assert again.status == 0 and "none of them now" in again.out
    assert run("verify", tmp_path / "none").status == 0
    assert "must be one of deflate, none" in extract("--save_dir", tmp_path / "x", *flags, "--compression", "zip").err


def test_phones_of_the_embedded_corpus(tiny, tmp_path):
    flags = ("--alignments", tmp_path / "synthetic_speech", "--tier", "phones", "--num_files", 40)
    result = extract("--audio_dir", "synthetic", "--save_dir", tmp_path, *TINY, *flags)
    paths = sorted(features_dir(tmp_path).glob("*.npz"))
    store = json.loads((features_dir(tmp_path) / "run.json").read_text())["summary"]
    assert result.status == (1 if store["failed"] else 0) and len(paths) + len(store["failed"]) == 40
    assert set(store["reasons"]) <= {"too short"}  # closures of stops: less than one frame
    for path in paths[::5]:
        speaker, chapter, stem, _ = path.stem.split("_")
        grid = (tmp_path / f"synthetic_speech/{speaker}/{chapter}/{stem}.TextGrid").read_text()
        waveform = sf.read(tmp_path / f"synthetic_speech/{speaker}/{chapter}/{stem}.flac", dtype="float32")[0]
        with np.load(path) as file:
            said = json.loads(file.zip.comment)
        start, stop = said["start_sample"], said["start_sample"] + said["n_samples"]
        interval = r'xmin = (\S+)\s+xmax = (\S+)\s+text = "(\S*)"'
        spans = {(round(float(a) * 16_000), round(float(b) * 16_000)): t for a, b, t in re.findall(interval, grid)}
        assert spans[start, stop] == said["label"] != ""
        expected = plain_forward(*tiny, waveform[start:stop])
        np.testing.assert_allclose(
            load(path)["transformer_layer_1"], expected["transformer_layer_1"], rtol=0, atol=1e-5
        )


# ---- What is said, and the other commands


def test_what_is_said(small, tmp_path):
    result = extract("--audio_dir", small, "--save_dir", tmp_path, *TINY)
    assert result.err == ""  # no warning of a library, and no bar in a log
    folder = features_dir(tmp_path)
    for line in (
        f"output       {folder}",
        "model        random:tiny (weights: random, seed 0), 13 features, stored as float32",
        f"audio        6 files found in {small}, 6 to do",
        "process 0    6 files, 7.9 s of audio",
        "done         6 of 6 utterances, 6 of them now: 7.9 s of audio in ",
    ):
        assert line in result.out
    again = extract("--audio_dir", small, "--save_dir", tmp_path, *TINY)
    assert again.status == 0 and again.out.endswith("done         6 of 6 utterances, none of them now\n")


def test_a_subset_counts_only_itself(small, tmp_path):
    assert extract("--audio_dir", small, "--save_dir", tmp_path, *TINY).status == 0
    few = extract("--audio_dir", small, "--save_dir", tmp_path, *TINY, "--num_files", 2)
    assert "done         2 of 2 utterances" in few.out
    assert "also there   4 utterances of earlier runs, which an analysis of the folder takes in" in few.out


def test_verify_status_and_comparison(small, tiny_run, tiny_batched, small_run, tmp_path):
    verified = run("verify", tiny_run)
    n = len(hashes(tiny_run))
    assert (verified.status, verified.out) == (0, f"{n} files: {n} good, 0 problems\n")
    status = run("status", tiny_run)
    assert status.status == 0
    assert f"utterances  {n} done of {n} found (100%), 0 failed" in status.out
    assert "model       random:tiny (weights: random, seed 0)" in status.out

    equal = run("verify", tiny_run, "--against", tiny_run)
    assert equal.status == 0 and "the folders are equal to the bit" in equal.out
    exactly = run("verify", tiny_run, "--against", tiny_batched)
    assert exactly.status == 1 and "the folders are NOT equal to the bit" in exactly.out
    assert re.search(r"^transformer_layer_1 +\d\.\d\de-\d+ +\d\.\d\de-\d+   over the tolerance$", exactly.out, re.M)
    nearly = run("verify", tiny_run, "--against", tiny_batched, "--tolerance", "1e-5")
    assert nearly.status == 0 and "the folders are equal within 1e-05" in nearly.out

    others = run("verify", tiny_run, "--against", small_run)
    assert others.status == 1 and f"only in the first folder: {n}" in others.out
    for command in ("verify", "status"):
        missing = run(command, tmp_path / "none")
        assert missing.status == 2 and missing.err.startswith(f"layerwise_{command}: expected a folder of features")


# ---- From Python


def test_extract_is_a_function(small, small_run, tmp_path):
    from layerwise_nb.extract import extract as extract_function

    def call(name: str) -> dict:
        return extract_function(str(small), str(tmp_path / name), model="random:tiny", device="cpu")

    summaries = [call("first"), call("second"), call("second")]
    assert [s["new"] for s in summaries] == [6, 6, 0]
    elsewhere = threading.Thread(target=lambda: summaries.append(call("thread")))  # not the main thread: no signals
    elsewhere.start()
    elsewhere.join()
    assert summaries[3]["new"] == 6 and summaries[3]["stopped"] == ""
    for name in ("first", "second", "thread"):
        assert hashes(tmp_path / name) == hashes(small_run)
