"""Every family from a checkpoint to a corpus on one grid: small models with random weights through the real extraction."""

import numpy as np
import pytest

from layerwise_nb.features.catalogue import common_grid
from layerwise_nb.features.store import FeatureStore
from layerwise_nb.verify import verify

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
WHISPER = dict(d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64)
WHISPER |= dict(decoder_layers=1, decoder_attention_heads=4)
MIMI = dict(num_filters=4, hidden_size=16, codebook_size=32, codebook_dim=16, intermediate_size=32, upsample_groups=16)
MIMI |= dict(num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2)
MIMI |= dict(num_quantizers=5, vector_quantization_hidden_dimension=16)


def checkpoint(kind: str):
    "A small model as it is published, some with a head, and its feature extractor."
    import transformers as t

    plain, at_24_khz = t.Wav2Vec2FeatureExtractor(do_normalize=True), t.EncodecFeatureExtractor(sampling_rate=24_000)
    conv, few = dict(conv_dim=(16,) * 7), dict(num_conv_pos_embedding_groups=4)
    bert = t.Wav2Vec2BertForSequenceClassification
    made = {
        "whisper": lambda: (t.WhisperForConditionalGeneration(t.WhisperConfig(**WHISPER)), t.WhisperFeatureExtractor()),
        "data2vec": lambda: (t.Data2VecAudioForCTC(t.Data2VecAudioConfig(**SMALL, **conv, **few)), plain),
        "conformer": lambda: (t.Wav2Vec2ConformerModel(t.Wav2Vec2ConformerConfig(**SMALL, **conv)), plain),
        "w2v-bert": lambda: (bert(t.Wav2Vec2BertConfig(**SMALL)), t.SeamlessM4TFeatureExtractor()),
        "sew": lambda: (t.SEWModel(t.SEWConfig(**SMALL, conv_dim=(16,) * 13, **few)), plain),
        "mimi": lambda: (t.MimiModel(t.MimiConfig(**MIMI)), at_24_khz),
    }
    model, extractor = made[kind]()
    for name, buffer in model.named_buffers():  # of a codec that was never trained
        if name.endswith("embed_sum"):
            buffer.normal_(0, 0.1)
    return model, extractor


UNUSED = {"whisper": ["decoder"], "data2vec": ["lm_head"], "w2v-bert": ["classifier", "projector"]}
FACTS = {  # sample rate, stride and offset of the common grid
    "whisper": (16_000, 320, 0), "data2vec": (16_000, 320, 199.5), "conformer": (16_000, 320, 199.5),
    "w2v-bert": (16_000, 320, 279.5), "sew": (16_000, 640, 359.5), "mimi": (24_000, 1_920, 1_919),
}  # fmt: skip


@pytest.mark.parametrize("kind", FACTS)
def test_a_family_from_checkpoint_to_corpus(kind, tmp_path):
    import torch

    from layerwise_nb.corpus.aligned import AlignedCorpus
    from layerwise_nb.extract import extract

    torch.manual_seed(0)
    model, extractor = checkpoint(kind)
    model.save_pretrained(tmp_path / kind)
    extractor.save_pretrained(tmp_path / kind)
    flags = dict(audio_dir="synthetic", model=str(tmp_path / kind), save_dir=str(tmp_path / "out"), device="cpu", num_files=2)
    summary = extract(**flags, batch_seconds=120)
    assert (summary["done"], summary["failed"]) == (2, {})
    assert verify(summary["features_dir"]) == {}
    store = FeatureStore(summary["features_dir"])
    grid = common_grid(store.catalogue)
    assert (grid.sample_rate, grid.stride, grid.offset) == FACTS[kind]
    assert store.run["provenance"]["batch_error"] <= 1e-5
    assert store.run["provenance"]["hidden_states"]["unused_weights"] == UNUSED.get(kind, [])
    assert "hidden_states" not in store.run["identity"]
    for utterance in AlignedCorpus(store.path):
        n = grid.n_frames(store.manifest[utterance.name]["samples"])
        assert {len(x) for x in utterance.frames.values()} == {n}
        assert all(np.isfinite(x).all() for x in utterance.frames.values())
    alone = extract(**{**flags, "save_dir": str(tmp_path / "alone")}, batch_seconds=0)
    for name in store:
        for feature, x in store[name].items():
            y = FeatureStore(alone["features_dir"])[name][feature]
            assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(y), (name, feature)


def test_every_layer_has_its_group_in_a_figure():
    from layerwise_nb.figures.style import layer_groups
    from layerwise_nb.models.load import FAMILIES

    shown = {"CNN": "cnn", "front end": "cnn", "projection": "projection", "transformer": "transformer"}
    for family in FAMILIES:
        for name, make in family.random.items():
            catalogue = family.catalogue(make()[0])
            runs = layer_groups(list(catalogue))
            drawn = [shown.get(group, f"none of {name}") for group, first, stop in runs for _ in range(first, stop)]
            assert drawn == [f.group for f in catalogue.values()], name


def test_windows_tile_the_frames_of_every_family():
    "Long audio is cut so that the frames of the parts, one after the other, are those of the whole, and every sample is in one."
    from layerwise_nb.audio.segments import window_bounds
    from layerwise_nb.features.catalogue import shortest_audio
    from layerwise_nb.models.load import FAMILIES

    rng = np.random.default_rng(0)
    for name, make in ((name, make) for family in FAMILIES for name, make in family.random.items()):
        catalogue = next(family for family in FAMILIES if name in family.random).catalogue(make()[0])
        grid, shortest = common_grid(catalogue), shortest_audio(catalogue)
        for n_samples, window in zip(rng.integers(4_000, 200_000, 20), rng.integers(4_000, 60_000, 20), strict=True):
            bounds, centers = window_bounds(int(n_samples), int(window), shortest, grid.stride, grid.ceil), []
            for start, stop in bounds:
                assert 0 <= start < stop <= n_samples and stop - start <= window, name
                centers.append(start + grid.centers(grid.n_frames(stop - start)))
            np.testing.assert_array_equal(np.concatenate(centers), grid.centers(grid.n_frames(int(n_samples))), name)
            assert not grid.ceil or bounds[-1][1] == n_samples, name
