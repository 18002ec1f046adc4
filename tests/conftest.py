"""What several test files need: speech, and models."""

import os
from pathlib import Path

# Math threads share the cores with the other pytest workers: oversubscribed they spin, and the run takes twice as long. Set
# before NumPy and torch are imported, and before the server of forks starts, from which all commands and notebooks come.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))

import pytest  # noqa: E402
from running import Machines, extract  # noqa: E402

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
