"""Every formula on the page "The mathematics", written down plainly, is what the function of that name computes."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import rankdata
from test_notebooks import ROOT

from layerwise_nb.measures import geometry, linear, pairwise
from layerwise_nb.measures.matrix import LAYER_MEASURES
from layerwise_nb.measures.registry import MEASURES

PAGE = (ROOT / "nbs/explanations/mathematics.md").read_text(encoding="utf-8")
known = np.random.RandomState(1337)
X = known.randn(100, 10)
Y = known.randn(100, 10) + X
W = 0.5 * X[:, :3] + np.random.default_rng(0).normal(size=(100, 3))


def centered(z):
    return z - z.mean(axis=0)


def scatter(x, y):
    return centered(x).T @ centered(y)


def lengths(z):
    return np.linalg.norm(centered(z))


def hsic_u(K, L):
    n, one = len(K), np.ones(len(K))
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    total = np.trace(K @ L) + (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ K @ L @ one
    return total / (n * (n - 3))


def cka(K, L):
    return hsic_u(K, L) / np.sqrt(hsic_u(K, K) * hsic_u(L, L))


def root(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * values**power @ vectors.T


def rho(x, y):
    return np.linalg.svd(root(scatter(x, x), -0.5) @ scatter(x, y) @ root(scatter(y, y), -0.5), compute_uv=False)


def principal(x):
    u, s, _ = np.linalg.svd(centered(x), full_matrices=False)
    k = 1 + np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.99)
    return u[:, :k] * s[:k]


def pwcca(x, y):
    white = centered(x) @ root(scatter(x, x), -0.5)
    u, rhos, _ = np.linalg.svd(root(scatter(x, x), -0.5) @ scatter(x, y) @ root(scatter(y, y), -0.5))
    return np.average(rhos, weights=np.abs((white @ u).T @ centered(x)).sum(axis=1))


def residual(z, given):
    return centered(z) - centered(given) @ np.linalg.lstsq(centered(given), centered(z), rcond=None)[0]


def r2(x, y):
    return 1 - (residual(y, x) ** 2).sum() / (centered(y) ** 2).sum()


def partial_cka(x, y):
    a, b = residual(x, W), residual(y, W)
    m = len(a) - 1 - W.shape[1]

    def product(p, r):
        return ((p.T @ r) ** 2).sum() - (p**2).sum() * (r**2).sum() / m

    return product(a, b) / np.sqrt(product(a, a) * product(b, b))


def squares(x):
    return ((x[:, None] - x) ** 2).sum(axis=2)


def rbf(x):
    distances = squares(x)
    return np.exp(-distances / (2 * 0.5**2 * np.median(distances[np.triu_indices(len(x), 1)])))


def distances(x):
    return 1 - np.corrcoef(x)[np.triu_indices(len(x), 1)]


def nearest(x):
    return [set(np.argsort(np.delete(row, i))[::-1][:10] + (np.argsort(np.delete(row, i))[::-1][:10] >= i))
            for i, row in enumerate(x @ x.T)]  # fmt: skip


def shares(x):
    values = np.linalg.eigvalsh(scatter(x, x))
    return values / values.sum()


BY_DEFINITION = {
    "linear_cka": lambda: cka(X @ X.T, Y @ Y.T),
    "mean_cca": lambda: rho(X, Y).mean(),
    "mean_squared_cca": lambda: (rho(X, Y) ** 2).mean(),
    "svcca": lambda: rho(principal(X), principal(Y)).mean(),
    "pwcca": lambda: pwcca(X, Y),
    "regression_r2": lambda: r2(X, Y),
    "partial_r2": lambda: r2(residual(X, W), residual(Y, W)),
    "partial_cka": lambda: partial_cka(X, Y),
    "procrustes_similarity": lambda: np.linalg.norm(scatter(X, Y), "nuc") / lengths(X) / lengths(Y),
    "correlation": lambda: np.abs(np.corrcoef(X.T, Y.T)[:10, 10:]).max(axis=1).mean(),
    "rbf_cka": lambda: cka(rbf(X), rbf(Y)),
    "rsa": lambda: np.corrcoef(distances(X), distances(Y))[0, 1],
    "mutual_knn": lambda: np.mean([len(a & b) / 10 for a, b in zip(nearest(X), nearest(Y), strict=True)]),
    "effective_rank": lambda: np.exp(-(shares(X) * np.log(shares(X))).sum()),
    "participation_ratio": lambda: 1 / (shares(X) ** 2).sum(),
    "anisotropy": lambda: np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(X) for b in X[:i]]),
}  # fmt: skip


@pytest.mark.parametrize("name", [*MEASURES, *LAYER_MEASURES])
def test_a_formula_is_what_is_computed(name):
    function = MEASURES[name].function if name in MEASURES else getattr(geometry, name)
    arguments = (X,) if name in LAYER_MEASURES else (X, Y, W) if MEASURES[name].given else (X, Y)
    assert_allclose(function(*arguments), BY_DEFINITION[name](), rtol=1e-9)


def test_the_page_names_every_measure():
    table = PAGE[PAGE.index("## The other measures") : PAGE.index("## Values to check against")]
    defined = {name for cell in re.findall(r"^\|([^|]*)\|", table, re.M) for name in re.findall(r"`(\w+)", cell)}
    assert set(MEASURES) - {"linear_cka"} | set(LAYER_MEASURES) <= defined | {"linear_cka"}
    assert {name for name in defined if name != "cca"} <= {*MEASURES, *LAYER_MEASURES}


VALUES = {
    "linear CKA, debiased": lambda: linear.linear_cka(X, Y),
    "linear CKA, biased": lambda: linear.linear_cka(X, Y, debiased=False),
    "RBF-CKA, threshold 0.5, biased": lambda: pairwise.rbf_cka(X, Y, debiased=False),
    "mean ρ": lambda: linear.mean_cca(X, Y),
    "mean ρ²": lambda: linear.mean_squared_cca(X, Y),
    "R² of Y given X, of X given Y": lambda: (linear.regression_r2(X, Y), linear.regression_r2(Y, X)),
    "Procrustes": lambda: linear.procrustes_similarity(X, Y),
    "RSA, Spearman and Pearson": lambda: (pairwise.rsa(X, Y, "spearman"), pairwise.rsa(X, Y)),
    "participation ratio of X, effective rank": lambda: (geometry.participation_ratio(X), geometry.effective_rank(X)),
    "mutual kNN, k = 10, inner product and cosine": lambda: tuple(pairwise.mutual_knn(X, Y, 10, m) for m in ("inner", "cosine")),
}


def test_the_values_to_check_against():
    rows = re.findall(r"^\| ([^|]+) \| ([\d., ]+) \|$", PAGE[PAGE.index("## Values to check against") :], re.M)
    assert {name for name, _ in rows} == set(VALUES)
    for name, text in rows:
        assert_allclose(VALUES[name](), [float(v) for v in text.split(", ")] if "," in text else float(text), atol=1e-10)
    ranks = [rankdata(distances(z)) for z in (X, Y)]
    assert_allclose(pairwise.rsa(X, Y, "spearman"), np.corrcoef(*ranks)[0, 1], rtol=1e-9)
