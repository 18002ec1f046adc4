"""The numbers in nbs/explanations/content.md."""

from pathlib import Path

import numpy as np
import pytest

from layerwise_nb.probing.clusters import pnmi
from layerwise_nb.probing.pasad import pasad_cca
from layerwise_nb.probing.subspaces import subspace_angles

PAGE = (Path(__file__).parent.parent / "nbs/explanations/content.md").read_text(encoding="utf-8")


def test_pnmi_by_chance():
    rng = np.random.default_rng(0)
    found = [np.mean([pnmi(rng.integers(38, size=n), rng.integers(100, size=n)) for _ in range(5)]) for n in (10_000, 20_000)]
    assert abs(found[0] - 0.056) < 0.002 and ".056 for 10,000 frames" in PAGE
    assert abs(found[0] / (99 * 37 / (2 * 10_000 * np.log(38))) - 1) < 0.15  # the first term of the bias
    assert abs(found[1] / found[0] - 0.5) < 0.05


def test_cca_in_sample():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((500, 768)), rng.integers(38, size=500)
    x, y = x - x.mean(0), np.eye(38)[labels] - np.eye(38)[labels].mean(0)
    u, v = (np.linalg.svd(m, full_matrices=False) for m in (x, y))
    u, v = u[0][:, u[1] > 1e-8 * u[1][0]], v[0][:, v[1] > 1e-8 * v[1][0]]
    assert f"{np.linalg.svd(u.T @ v, compute_uv=False).mean():.3f}" == "1.000" and "1.000 for 500 frames of 768" in PAGE
    with pytest.raises(ValueError, match="whatever the labels"):
        pasad_cca(x, labels)


def test_cosines_with_an_offset():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 64)) / 8 + 10 * np.eye(64)[0]  # a spread of norm 1 around an offset of 10
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = (x @ x.T)[np.triu_indices(400, 1)].mean()
    assert f"{cosine:.2f}".removeprefix("0") in PAGE and "cosine of unrelated frames is .99" in PAGE


def test_angles_by_chance():
    rng = np.random.default_rng(0)
    x, first, second = rng.normal(size=(4000, 20)), rng.integers(6, size=4000), rng.integers(9, size=4000)
    found = subspace_angles(x, first, second, None, 50, 1 - 1e-9)
    assert found.directions == (5, 8) and abs(found.null.mean() - 52) < 1.5
    assert "Five and eight random directions in 20 dimensions have a mean angle of 52°" in PAGE


@pytest.mark.parametrize("name", ["target_r2", "target_cca", "probe_accuracy", "pnmi", "abx", "word_map", "subspace_angles"])
def test_every_measure_is_explained(name):
    assert f"`{name}`" in PAGE
