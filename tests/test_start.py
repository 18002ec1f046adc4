"""Nothing keeps a person waiting who only asks: importing the package, and the help of every command."""

import json
import os
import resource
import subprocess
import sys

import pytest
from test_project import COMMANDS, ROOT

from layerwise_nb.audio.synthetic import made_up_features
from layerwise_nb.core.machine import may_have_gpu


def processor_time(*arguments: str) -> tuple[float, str]:
    """Seconds of processor time that Python takes for this (not of the clock: other tests may be running), and its output."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # compiled once, as for a user
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, env=env)
    return used() - before, run.stdout


def within(limit_s: float, *arguments: str) -> bool:
    """Whether one run of three takes no longer."""
    return any(processor_time(*arguments)[0] < limit_s for _ in range(3))


def test_import():
    bare = min(processor_time("-c", "pass")[0] for _ in range(3))
    assert within(bare + 0.1, "-c", "import layerwise_nb")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_at_once_and_gives_an_example(command):
    arguments = ("-m", COMMANDS[command].split(":")[0], "--help")
    said = " ".join(processor_time(*arguments)[1].split())
    assert f"Example: {command} " in said, said
    assert within(1.0, *arguments)  # half of it where nothing else runs; torch alone would take three


NOT_THERE, SPEECH = "/no/such/folder", ("--audio_dir", "synthetic", "--save_dir", "x", "--model", "random:tiny")
INVALID = {  # command -> flags, each wrong in another way
    "extract": [
        ("--nope",), ("--threads", "two"), ("--save_dir", "x"), ("--audio_dir", "synthetic"),
        ("--audio_dir", NOT_THERE, "--save_dir", "x"), ("--audio_dir", "empty", "--save_dir", "x"),
        ("--audio_dir", "corpus", "--dataset_split", "nope", "--save_dir", "x"),
        ("--manifest", "a_file", "--save_dir", "x"), ("--manifest", "no_path.tsv", "--save_dir", "x"),
        ("--dataset", NOT_THERE, "--save_dir", "x"), (*SPEECH, "--save_dir", "a_file"),
        *((*SPEECH, "--model", name) for name in ("random:huge", NOT_THERE, "empty", "bert", "a_file", "a/b/c", "")),
        *((*SPEECH, flag, value) for flag, value in {
            "--dtype": "int8", "--store": "some", "--threads": "0", "--shard": "5/4", "--device": "tpu", "--feature_type": "x",
            "--labels": NOT_THERE, "--alignments": NOT_THERE, "--speaker_table": NOT_THERE, "--speaker_pattern": "(",
            "--revision": "main"}.items()),
        *(() if may_have_gpu() else ((*SPEECH, "--device", "cuda"),)),
    ],
    "run": [
        ("--nope",), ("--model", "random:tiny"), ("--output_dir", "x", "--audio_dir", NOT_THERE),
        *(("--output_dir", "x", flag, value) for flag, value in {
            "--only": "nope", "--model": "random:huge", "--metrics": "nope", "--targets": "nope", "--align": "nope",
            "--by": "nope", "--formats": "bmp", "--labels": NOT_THERE, "--config": NOT_THERE, "--report": "x.pdf",
            "--against": NOT_THERE, "--control": NOT_THERE, "--window_s": "0", "--fps": "0"}.items()),
    ],
    "similarity": [("--layers", "nope"), ("--metrics", "nope"), ("--against", NOT_THERE), ("--by", "nope"), ("--device", "tpu")],
    "temporal": [("--layers", "nope"), ("--utterance", "nope"), ("--labels", NOT_THERE), ("--animations", "avi")],
    "content": [("--layers", "nope"), ("--targets", "nope"), ("--control", NOT_THERE), ("--quick", "--full"),
                ("--labels", NOT_THERE)],
    "visualize": [("--only", "nope"), ("--metrics", "nope"), ("--utterance", "nope"), ("--config", NOT_THERE),
                  ("--report", "x.pdf")],
    "export": [("--layers", "nope"), ("--format", "csv"), ("--dtype", "int8"), ("--grid", "nope"), ("--labels", NOT_THERE)],
    "explore": [(), (NOT_THERE,), ("empty",), ("features", "--port", "99999"), ("features", "--audio_dir", NOT_THERE),
                ("features", "--against", NOT_THERE), ("features", "--labels", NOT_THERE)],
    "bench": [(), ("nope",), ("extract", "--work_dir", NOT_THERE), ("extract", "--nope")],
    "bench_audio": [(), ("--audio_dir", NOT_THERE), ("--audio_dir", "empty"), ("--audio_dir", "corpus", "--cache", "hot")],
    "align": [(), ("--audio_dir", NOT_THERE), ("--audio_dir", "empty"), ("--audio_dir", "empty", "--processes", "-1"),
              ("--manifest", "no_path.tsv", "--output_dir", "x")],
    "to_wav": [(), ("--audio_dir", NOT_THERE), ("--audio_dir", "empty"), ("--audio_dir", "corpus", "--formats", "docx")],
    "download": [(), ("nope", "x"), ("dev-clean", "a_file")],
    "verify": [(), (NOT_THERE,), ("empty",), ("features", "--tolerance", "x"), ("features", "--against", NOT_THERE)],
    "status": [(), (NOT_THERE,), ("empty",), ("a_file",)],
}  # fmt: skip
OF_FEATURES = ("similarity", "temporal", "content", "visualize", "export")  # which also fail without folders, or with none


def invalid_calls() -> list[tuple[str, ...]]:
    calls = [(command, *flags) for command, wrong in INVALID.items() if command not in OF_FEATURES for flags in wrong]
    for command in OF_FEATURES:
        folders = ("--features_dir", "features", "--output_dir", "x")
        calls += [(command, *folders, *flags) for flags in INVALID[command]]
        calls += [(command, "--nope"), (command, *folders[:2]), (command, *folders[2:])]
        calls += [(command, "--features_dir", folder, *folders[2:]) for folder in (NOT_THERE, "empty", "a_file")]
    return calls


def test_invalid_arguments_load_nothing_large(tmp_path):
    """Whatever is wrong is said with status 2 before torch, transformers, matplotlib or Jupyter is imported."""
    assert {f"layerwise_{command}" for command in INVALID} == set(COMMANDS)
    made_up_features(tmp_path / "features", n_utterances=1)
    for folder in ("empty", "bert", "corpus/dev-clean"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a_file").write_text("x")
    (tmp_path / "no_path.tsv").write_text("length\tspeaker\n1\t2\n")
    (tmp_path / "bert/config.json").write_text('{"model_type": "bert"}')
    calls, environment = invalid_calls(), {**os.environ, "PYTHONPATH": str(ROOT)}
    asked = subprocess.run([sys.executable, ROOT / "tests/asked.py"], input=json.dumps(calls), cwd=tmp_path, env=environment,
                           capture_output=True, text=True)  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    answers = json.loads(asked.stdout)
    wrong = [f"{' '.join(call)}: {answer}" for call, answer in zip(calls, answers, strict=True)
             if answer["status"] != 2 or answer["loaded"] or not answer["said"].strip()]  # fmt: skip
    assert not wrong, "\n".join(wrong)
