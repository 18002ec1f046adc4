"""What a trained Whisper encodes of real speech, against figures that another program measured (nbs/explanations/content.md)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running import extract

PAGE = (Path(__file__).parent.parent / "nbs/explanations/content.md").read_text(encoding="utf-8")
# phone accuracy, R² of phones, speaker accuracy: own forward pass, neighboring frames averaged, penalty 100, one fold a speaker;
# the speaker probe trained on even utterances and judged on odd ones
REFERENCE = {
    "transformer_input": (0.372, 0.113, 0.858),
    "transformer_layer_0": (0.551, 0.234, 0.976),
    "transformer_layer_1": (0.687, 0.397, 0.869),
    "transformer_layer_2": (0.730, 0.436, 0.749),
    "transformer_layer_3": (0.729, 0.352, 0.520),
    "final_norm": (0.731, 0.397, 0.519),
}


@pytest.fixture(scope="module")
def whisper(real_speech, tmp_path_factory):
    """The labeled frames of every layer, and the same averaged with their right neighbors; the sample they are of."""
    from layerwise_nb.content_analysis.sample import EFFORTS
    from layerwise_nb.content_analysis.source import ContentSource, sample_of, source_labels
    from layerwise_nb.corpus.aligned import AlignedCorpus
    from layerwise_nb.features.store import FeatureStore

    model, labels = (real_speech.parents[1] / own for own in ("models/whisper-tiny.en", "data/alignments"))
    if not (model.is_dir() and labels.is_dir()):
        pytest.skip(f"no {model.name} or no alignments beside {real_speech}")
    folder = tmp_path_factory.mktemp("whisper")
    assert extract("--audio_dir", real_speech, "--model", model, "--save_dir", folder).status == 0
    store = FeatureStore(folder)
    source = ContentSource(store, list(REFERENCE))
    sample = sample_of(source, source_labels(source, labels), replace(EFFORTS["default"], n_frames=10**9))
    frames = {}
    for layer in REFERENCE:
        arrays = {u.name: u.frames[layer] for u in AlignedCorpus(store.path, [layer])}
        pairs = {u: np.concatenate([(x[:-1] + x[1:]) / 2, x[-1:]]) for u, x in arrays.items()}
        frames[layer] = [np.concatenate([own[u][rows] for u, rows in sample.frames.positions.items()]) for own in (arrays, pairs)]
    return frames, sample


@pytest.mark.slow
def test_trained_whisper_is_as_another_program_found_it(whisper):
    """With its folds all figures are within .03, with its frames, too, those of speakers within .005."""
    from layerwise_nb.content_analysis.shared import _session_folds
    from layerwise_nb.probing.probes import ridge_predictions
    from layerwise_nb.probing.target_r2 import held_out_r2
    from layerwise_nb.probing.targets import fold_sums, one_hot

    frames, sample = whisper
    who, phones = (np.unique(own, return_inverse=True)[1] for own in (sample.frames.speakers, sample.frames.phones))
    rank = {name: i % 2 for i, name in enumerate(sorted(sample.frames.positions))}
    odd, default = np.array([rank[name] for name in sample.frames.utterances.tolist()]), _session_folds(sample, 0)[1]
    train = {"phone": len(who) * 6 / 7, "odd": (odd == 0).sum()}  # rows, of penalties that are given for each
    for layer, reference in REFERENCE.items():
        row = []
        for x in frames[layer]:
            (voices,) = ridge_predictions(x, [who], odd, 100 / train["odd"])
            (ours,), (said,) = ridge_predictions(x, [who], default), ridge_predictions(x, [phones], who, 100 / train["phone"])
            sums = fold_sums(x, {"phone": one_hot(phones, phones.max() + 1)}, who)
            explained = held_out_r2(sums, {"phone": np.full(7, 100 / train["phone"])})["phone"]
            row.append(((said == phones).mean(), explained, (voices == who)[odd == 1].mean(), (ours == who).mean()))
        same_folds, same_frames = np.array(row)[:, :3]
        assert np.abs(same_folds - reference).max() < 0.03, (layer, same_folds)
        assert np.abs(same_frames - reference)[[0, 2]].max() < 0.02, (layer, same_frames)
        assert abs(same_frames[2] - reference[2]) < 0.005, (layer, same_frames)  # folds and frames are all there is to it
        mine = [f"{value:.3f}".removeprefix("0") for value in (reference[2], same_frames[2], same_folds[2], row[0][3])]
        assert " | ".join(mine) in PAGE, (layer, mine)
