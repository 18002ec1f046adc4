"""What several test files need: speech, and models."""

import os
from pathlib import Path

import pytest
from running import Machines, extract

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("LAYERWISE_TEST_DATA") or ROOT.parent / "shared/data/LibriSpeech")


@pytest.fixture(scope="session")
def real_speech() -> Path:
    """LibriSpeech: the folder that holds dev-clean and so on."""
    if not REAL.is_dir():
        pytest.skip(f"no LibriSpeech at {REAL}: name its folder in LAYERWISE_TEST_DATA")
    return REAL


@pytest.fixture(scope="session")
def speech(tmp_path_factory) -> Path:
    """LibriSpeech if it is at hand, else the package's own corpus."""
    if REAL.is_dir():
        return REAL
    save_dir = tmp_path_factory.mktemp("synthetic")
    assert extract("--audio_dir", "synthetic", "--save_dir", save_dir, "--model", "random:tiny").status == 0
    return save_dir / "synthetic_speech"


@pytest.fixture(scope="session")
def saved_tiny(tmp_path_factory) -> Path:
    """The tiny random model as a checkpoint in a folder."""
    from layerwise_nb.models.load import load_model

    folder, speech = tmp_path_factory.mktemp("models") / "tiny", load_model("random:tiny")
    speech.model.save_pretrained(folder)
    speech.feature_extractor.save_pretrained(folder)
    return folder


@pytest.fixture
def machines():
    """Two machines on this one, each with its own network."""
    try:
        with Machines() as two:
            yield two
    except OSError as error:
        pytest.skip(f"two machines on this one need the right to make network namespaces: {error}")
