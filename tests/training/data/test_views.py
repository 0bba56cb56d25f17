"""Views of a clip: the extractor's features, and crops that depend on seed and place only."""

import itertools

import pytest
import soundfile
import torch

from modeling_sslam import KaldiFbankFeatureExtractor
from modeling_sslam.audio_io import load_audio
from modeling_sslam.feature_extraction_waveform import WaveformFeatureExtractor
from tests.training.data.clips import RATE, write_clips
from training.data.rows import load_rows
from training.data.stream import ClipStream, Position, RowBatches
from training.data.views import ClipFeatures, RandomCrop
from training.settings.data import DataArguments


@pytest.fixture
def folder(tmp_path):
    return write_clips(tmp_path)


def batches(folder, features, num_batches: int = 1, workers: int = 0):
    rows = load_rows(DataArguments(format="folder", path=str(folder)))
    stream = ClipStream(RowBatches(rows, 4, 0, seed=3), features, workers)
    return [batch.inputs for batch in itertools.islice(stream, num_batches)]


def test_a_batch_holds_the_extractors_features(folder):
    extractor = KaldiFbankFeatureExtractor(target_length=16)
    (batch,) = batches(folder, ClipFeatures(extractor, "audio"))
    waveforms = [soundfile.read(folder / f"{index}.flac", dtype="float32")[0] for index in range(4)]
    want = extractor(waveforms, sampling_rate=RATE, return_tensors="pt")["input_values"]
    torch.testing.assert_close(batch, {"input_values": want}, rtol=0, atol=1e-5)


def test_random_crops_are_cut_from_whole_clips_and_depend_on_seed_and_place_only(folder):
    def crops(seed: int, workers: int) -> torch.Tensor:
        features = ClipFeatures(KaldiFbankFeatureExtractor(), "audio", RandomCrop(num_frames=5, seed=seed))
        return torch.cat([batch["input_values"] for batch in batches(folder, features, 5, workers)])

    cut = crops(0, workers=0)
    assert cut.shape[1] == 5
    clip = load_audio({"path": str(folder / "0.flac"), "bytes": None}, RATE)
    whole = KaldiFbankFeatureExtractor()(clip, RATE, padding="longest", return_tensors="pt")["input_values"][0]
    assert any(torch.equal(cut[0], whole[start : start + 5]) for start in range(len(whole) - 4))
    assert torch.equal(cut, crops(0, workers=2))
    assert not torch.equal(cut, crops(1, workers=0))


def test_views_are_independent_crops_of_the_same_features(folder):
    """The first view is what an objective with one view sees; the clips are decoded once for all views."""
    crop = RandomCrop(num_frames=3, seed=0)

    class CountedFeatures(ClipFeatures):
        decoded = 0

        def features(self, audio):
            self.decoded += 1
            return super().features(audio)

    views = CountedFeatures(KaldiFbankFeatureExtractor(), "audio", crop, ("input_values", "other"))
    both = batches(folder, views, 3)
    assert views.decoded == 12
    alone = batches(folder, ClipFeatures(KaldiFbankFeatureExtractor(), "audio", crop), 3)
    with_workers = batches(folder, ClipFeatures(KaldiFbankFeatureExtractor(), "audio", crop, views.views), 3, 2)
    for of_both, of_one, by_workers in zip(both, alone, with_workers, strict=True):
        assert list(of_both) == ["input_values", "other"]
        assert torch.equal(of_both["input_values"], of_one["input_values"])
        assert all(torch.equal(of_both[name], by_workers[name]) for name in of_both)
    assert not any(torch.equal(batch["input_values"], batch["other"]) for batch in both)


def test_several_views_need_random_crops():
    with pytest.raises(ValueError, match="compares crops of a clip .input_values, other.: set data.crop=random"):
        ClipFeatures(KaldiFbankFeatureExtractor(), "audio", None, ("input_values", "other"))


def test_waveforms_are_cropped_by_samples(folder):
    features = ClipFeatures(WaveformFeatureExtractor(), "audio", RandomCrop(num_frames=100, seed=0))
    (batch,) = batches(folder, features)
    assert batch["input_values"].shape == (4, 100)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2)])
def test_a_clip_shorter_than_its_crop_is_repeated(shape):
    clip = torch.arange(3.0).reshape(3, *[1] * (len(shape) - 1)).expand(shape)
    crop = RandomCrop(num_frames=6, seed=0)(clip, Position(), index=0)
    assert crop.shape == (6, *shape[1:])
    assert crop.reshape(6, -1)[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    starts = {RandomCrop(2, seed)(clip, Position(), 0).flatten()[0].item() for seed in range(20)}
    assert starts == {0.0}  # one place to spare: the last start is never drawn
