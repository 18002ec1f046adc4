"""A dozen numbers of what the analyses compute, pinned to `RESULTS_VERSION`: none changes without a raised version.

A version that was raised needs the numbers of its own: `python tests/test_numbers.py` prints them.
"""

import numpy as np
import pytest

VERSION = 10
NUMBERS = {
    "linear_cka": 0.6026358897291826,
    "mean_squared_cca": 0.3053235442276609,
    "regression_r2": 0.6698703265144978,
    "rbf_cka": 0.6666920713484714,
    "effective_rank": 4.742609581394766,
    "linear_cka low": 0.5218681898314185,
    "propagation recovered_r2": 0.7294905548914764,
    "propagation partial_r2": 0.6131973374692703,
    "velocity": 31.560065269470215,
    "norm": 8.397378196461824,
    "integrated_s": 0.09557875712440972,
    "velocity high": 32.947577476501465,
    "probe accuracy": 0.7166666666666667,
    "probe accuracy high": 0.8518338534953842,
    "pnmi": 0.03519967174747946,
    "abx within": 0.00767361111111111,
    "word map": 0.23303953174058764,
}
RTOL = 1e-5  # another processor, another BLAS


def layers() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Frames (900, dim) of four layers, each made from the one below; the phone and the speaker of each frame."""
    rng = np.random.default_rng(20)
    phones, speakers = np.repeat(rng.integers(0, 5, 90), 10), np.repeat(np.arange(6), 150)
    x = rng.standard_normal((900, 12)) + 2 * rng.standard_normal((5, 12))[phones] + rng.standard_normal((6, 12))[speakers]
    x[1:] += 0.7 * x[:-1]
    found = {"conv_6": x}
    for name in ("transformer_input", "transformer_layer_0", "transformer_layer_1"):
        x = np.tanh(0.2 * x @ rng.standard_normal((x.shape[1], 12))) * 3 + 0.3 * rng.standard_normal((900, 12))
        found[name] = x
    return {name: x.astype(np.float32) for name, x in found.items()}, phones, speakers


def compute() -> dict[str, float]:
    """Similarity, propagation, content and dynamics of made-up layers."""
    from layerwise_nb.dynamics.statistics import TemporalStatistics
    from layerwise_nb.features.catalogue import HUBERT_BASE, feature_catalogue
    from layerwise_nb.measures.bootstrap import bootstrap_matrix
    from layerwise_nb.measures.matrix import layer_curve, similarity_matrix
    from layerwise_nb.measures.moments import Moments
    from layerwise_nb.measures.propagation import input_propagation
    from layerwise_nb.probing.abx import Items, abx
    from layerwise_nb.probing.clusters import pnmi
    from layerwise_nb.probing.probes import probe_accuracy
    from layerwise_nb.probing.words import word_map

    frames, phones, speakers = layers()
    moments = Moments({name: x.shape[1] for name, x in frames.items()})
    moments.update(frames)
    found = {name: similarity_matrix(moments, name).values[0, 3] for name in ("linear_cka", "mean_squared_cca", "regression_r2")}
    found["rbf_cka"] = similarity_matrix(frames, "rbf_cka").values[0, 3]
    found["effective_rank"] = layer_curve(moments, "effective_rank").values[3]
    intervals = bootstrap_matrix(frames, (np.arange(900) // 45).astype(str), "linear_cka", n_resamples=50, seed=1)
    found["linear_cka low"] = intervals.low[0, 3]
    curves = input_propagation(moments, "conv_6").curves
    found |= {f"propagation {name}": curves[name][2] for name in ("recovered_r2", "partial_r2")}

    own = feature_catalogue(HUBERT_BASE)
    catalogue = {name: own[name] for name in ("transformer_input", "transformer_layer_0")}
    temporal = TemporalStatistics(catalogue)
    for who in range(6):
        temporal.update({name: frames[name][speakers == who] for name in catalogue}, f"u{who}", str(who), 3.0)
    measures = temporal.pool(n_resamples=50, seed=1).measures
    found |= {name: measures[name].value[1] for name in ("velocity", "norm", "integrated_s")}
    found["velocity high"] = measures["velocity"].high[1]

    top, names = frames["transformer_layer_1"], [f"p{phone}" for phone in phones]
    probe = probe_accuracy(top, names, speakers.astype(str).tolist()).accuracy
    found |= {"probe accuracy": probe.value, "probe accuracy high": probe.high}
    found["pnmi"] = pnmi(phones, np.digitize(top[:, 0], [-2, -1, 0, 1, 2]))
    starts = np.arange(0, 900, 10)
    items = Items([names[i] for i in starts], speakers[starts].astype(str).tolist())
    found["abx within"] = abx([top[i : i + 10] for i in starts], items).interval(seed=0).value
    found["word map"] = word_map(top[starts], [names[i] for i in starts])
    return {name: float(value) for name, value in found.items()}


def test_numbers_of_this_version():
    from layerwise_nb.analyses.finished import RESULTS_VERSION

    assert RESULTS_VERSION == VERSION, "RESULTS_VERSION was raised: renew the numbers (python tests/test_numbers.py)"
    found = compute()
    assert found.keys() == NUMBERS.keys()
    changed = {n: (v, NUMBERS[n]) for n, v in found.items() if v != pytest.approx(NUMBERS[n], rel=RTOL)}
    assert not changed, "these numbers changed: raise RESULTS_VERSION, say so in CHANGELOG.md, and renew them here"


if __name__ == "__main__":
    print("\n".join(f'    "{name}": {value!r},' for name, value in compute().items()))
