"""Labels that leave little to measure: a clear note or problem each, and what can be made is made."""

import numpy as np
import pytest

from layerwise_nb.content_analysis.measures import measure_layer
from layerwise_nb.content_analysis.sample import EFFORTS, ContentSample, Targets, collect
from layerwise_nb.content_analysis.shared import Shared
from layerwise_nb.corpus.labels import CorpusLabels
from layerwise_nb.features.catalogue import feature_catalogue
from layerwise_nb.labels.intervals import Interval

GRID = feature_catalogue()["transformer_input"]


def corpus(n_speakers=8, phones=("AA", "S", "T"), words=("w1", "w2")) -> CorpusLabels:
    rng, labels = np.random.default_rng(0), CorpusLabels()
    for u in range(16):
        edges = np.round(np.cumsum(np.r_[0.08, rng.uniform(0.05, 0.11, size=22)]), 3)
        said = [Interval(a, b, str(rng.choice(phones)), "phones") for a, b in zip(edges, edges[1:], strict=False)]
        tiers = {"phones": said} | ({"words": [Interval(edges[k], edges[k + 2], str(rng.choice(words)), "words")
                                               for k in range(0, 20, 2)]} if words else {})  # fmt: skip
        labels.add(f"u{u:02}", tiers, 40_000, f"s{u % n_speakers}" if n_speakers else "")
    return labels


def measured(labels: CorpusLabels, **settings):
    sample = ContentSample(labels, GRID, labels.utterances, EFFORTS["quick"], **settings)
    targets, rng = Targets(sample, ["phone", "position"]), np.random.default_rng(1)
    arrays = ((u, rng.normal(size=(124, 6)).astype(np.float32)) for u in labels.utterances)
    shared = Shared(sample, targets, n_nulls=1)
    values, problems = measure_layer(shared, collect(sample, "layer", arrays, targets))
    return sample, {(v.measure, v.target) for v in values}, problems


def test_all_is_made_of_whole_labels():
    _, made, problems = measured(corpus())
    assert problems == [] and {("abx", "phone"), ("word_map", "word"), ("pnmi", "phone"), ("target_r2", "speaker")} <= made


def test_one_class():
    _, made, problems = measured(corpus(phones=("AA",)))
    assert {("target_r2", "speaker"), ("target_r2", "position"), ("word_map", "word")} <= made
    for name in ("target_r2", "target_cca", "probe_accuracy", "pnmi", "abx", "subspace_angles"):
        assert any(measure == name for measure, _ in problems), name


@pytest.mark.parametrize("n_speakers, note", [(1, "there is one speaker: utterances are held out"), (0, "no speaker is known")])
def test_one_speaker_or_none(n_speakers, note):
    sample, made, problems = measured(corpus(n_speakers))
    assert sample.groups == "utterance" and note in sample.notes[0] and problems == []
    assert ("abx", "phone") in made and ("probe_accuracy", "speaker") not in made


def test_words_that_occur_once():
    _, made, problems = measured(corpus(words=tuple(f"w{i}" for i in range(9_999))))
    assert ("probe_accuracy", "phone") in made
    assert ("word_map", "word") in made or any("words that occur twice or more" in why for _, why in problems)


def test_speakers_of_one_utterance():
    labels = corpus(16)
    sample, made, problems = measured(labels)
    shared = Shared(sample, Targets(sample, ["phone"]), n_nulls=0)
    assert len(shared.left_out) == 16 and "cannot be both in training and in test" in shared.left_out["s0"]
    assert ("probe_accuracy", "phone") in made and ("probe_accuracy", "speaker") not in made


def test_chapters():
    labels = corpus()
    chapters = {name: str(int(name[1:]) // 4) for name in labels.utterances[:-2]}
    sample, made, problems = measured(labels, groups="chapter", chapters=chapters)
    assert sample.notes == ["2 utterances of unknown chapters take no part"] and sample.n_groups == 14 and problems == []
    assert ("abx", "phone") in made
    with pytest.raises(ValueError, match="no chapter of these utterances is known"):
        ContentSample(labels, GRID, labels.utterances, groups="chapter")


def test_labels_longer_than_the_audio():
    labels = corpus()
    with pytest.raises(ValueError, match=r"expected labels within the 1 s of audio; got 2 s: another recording's\?"):
        labels.add("long", {"phones": [Interval(0.5, 2.0, "AA", "phones")]}, 16_000, "s0")
    assert "long" not in labels.samples
