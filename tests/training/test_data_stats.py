"""Statistics of a data set against those of all its cells at once."""

import pytest
import torch

from modeling_sslam import KaldiFbankFeatureExtractor
from modeling_sslam.audio_io import load_audio
from tests.pretraining import write_clips
from training.data_stats import Moments, main, measure
from training.settings.recipe import build_arguments


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data") / "clips")


def log_mels(file) -> torch.Tensor:
    extractor = KaldiFbankFeatureExtractor(mean=0.0, std=0.5)
    return extractor(load_audio(str(file), 16000), 16000, padding="longest", return_tensors="pt")["input_values"][0]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_all_cells_of_all_clips_count(clips, num_workers):
    data = {"format": "folder", "path": str(clips), "batch_size": 3, "num_workers": num_workers}
    moments = measure(build_arguments({"data": data}))
    cells = torch.cat([log_mels(file) for file in clips.glob("*.wav")]).double()
    assert (moments.num_clips, moments.count) == (8, cells.numel())
    assert moments.mean == pytest.approx(cells.mean().item(), abs=1e-4)
    assert moments.std == pytest.approx(cells.std().item(), abs=1e-4)


def test_frames_that_training_does_not_see_do_not_count(clips):
    data = {"format": "folder", "path": str(clips), "target_length": 10, "num_workers": 0}
    assert measure(build_arguments({"data": data})).count == 8 * 10 * 128


def test_the_command_prints_overrides_and_skips_what_is_no_audio(clips, tmp_path, capsys, caplog):
    (tmp_path / "broken.wav").write_text("no audio")
    folder = tmp_path / "all"
    folder.mkdir()
    for file in [*clips.glob("*.wav"), tmp_path / "broken.wav"]:
        (folder / file.name).symlink_to(file)
    with caplog.at_level("INFO"):
        main(["data.format=folder", f"data.path={folder}", "data.num_workers=0"])
    mean, std = (float(override.partition("=")[2]) for override in capsys.readouterr().out.split())
    assert mean < 0 < std
    assert "broken.wav" in caplog.text
    assert "8 clips" in caplog.text


def test_moments_of_parts_are_those_of_the_whole():
    values = torch.randn(60, 2) + 1000
    total = Moments()
    for part in values.split([10, 1, 49]):
        total.add(Moments.of(part))
    assert total.mean == pytest.approx(values.double().mean().item())
    assert total.std == pytest.approx(values.double().std().item())


def test_what_cannot_be_measured(tmp_path):
    (tmp_path / "broken.wav").write_text("no audio")
    data = {"format": "folder", "path": str(tmp_path), "num_workers": 0}
    with pytest.raises(ValueError, match="no clip could be decoded, for example .*broken.wav"):
        measure(build_arguments({"data": data}))
    with pytest.raises(ValueError, match="ssast_mae standardises every clip by itself"):
        measure(build_arguments({"data": data, "model": {"model_type": "ssast_mae"}}))
