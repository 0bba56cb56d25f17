"""Files of no family that is known here."""

import pytest
import torch

from modeling_sslam.official.checkpoints import load_official


@pytest.mark.parametrize(
    ("names", "looks_like"),
    [
        (["sslam.layers.0.norm1.weight"], "a checkpoint of this package"),
        (["audio_spectrogram_transformer.layernorm.bias"], "an Audio Spectrogram Transformer"),
        (["conv1.weight", "fc.bias"], "it holds conv1.weight, fc.bias"),
    ],
)
def test_another_layout_is_named(names, looks_like, tmp_path):
    torch.save({name: torch.ones(1) for name in names}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=f"not one of the official layouts: .*{looks_like}"):
        load_official(tmp_path / "a.pt")


def test_a_folder_of_several_files_is_ambiguous(tmp_path):
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        torch.save({}, tmp_path / name)
    with pytest.raises(ValueError, match="name one file"):
        load_official(tmp_path)


def test_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"hello")
    with pytest.raises(ValueError, match="no checkpoint that can be opened"):
        load_official(tmp_path / "a.pt")
