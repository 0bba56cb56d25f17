import math
import sys

import matplotlib.image
import pytest
import torch

from modeling_sslam import (
    MwmaeConfig,
    MwmaeForPreTraining,
    SsamConfig,
    SsamModel,
    SsastMaeForPreTraining,
    SslamForPreTraining,
    SslamModel,
)
from tests.conftest import tiny_config
from tests.families import FAMILIES, SSAM, TRANSFORMER
from tests.labelled_clips import write_checkpoint, write_clips
from training import analyze_heads
from training.analyze_heads import analyze, load_for_analysis, read_clips, windows_of
from training.probes.head_analysis import attention_entropy
from training.settings.data import ClipArguments


def saved(model, folder):
    """The model as the command loads it."""
    model.save_pretrained(folder)
    return load_for_analysis(folder)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_convolutional_decoder_is_compared_layer_by_layer(tmp_path):
    model = saved(SslamForPreTraining(tiny_config(decoder_num_layers=3)), tmp_path)
    clips = noise(4, 64, 128)
    analysis = analyze(model, clips, batch_size=2)
    assert list(analysis.stacks) == ["encoder"]
    assert analysis.stacks["encoder"].entropy.shape == (2, 2)
    assert analysis.compared == "decoder layers"
    assert analysis.num_layers == len(analysis.correlation) == 3
    attentions = model.sslam(clips, output_attentions=True).attentions
    wanted = torch.stack([attention_entropy(attention) for attention in attentions])
    torch.testing.assert_close(analysis.stacks["encoder"].entropy, wanted)


@pytest.mark.parametrize(
    "build", [lambda: SslamModel(tiny_config()), lambda: SsastMaeForPreTraining(FAMILIES["ssast_mae"].config)]
)
def test_heads_of_an_encoder_without_decoder(build, tmp_path):
    """The class token of the second one is in the attention, but not among the tokens that come out."""
    model = saved(build(), tmp_path)
    config = model.config
    analysis = analyze(model, noise(4, 64, config.num_mel_bins), batch_size=4)
    assert analysis.compared == "encoder heads"
    assert len(analysis.correlation) == config.num_hidden_layers * config.num_attention_heads
    assert analysis.stacks["encoder"].distance.shape == (config.num_hidden_layers, config.num_attention_heads)
    assert 0 < analysis.correlation.min() < analysis.correlation.max() == 1


def test_windows_of_a_transformer_decoder(tmp_path):
    """Heads that see two neighbouring tokens look no further, those that see all do."""
    config = MwmaeConfig(
        **TRANSFORMER, decoder_hidden_size=30, decoder_num_layers=2, num_mel_bins=32, window_frames=32
    )
    model = saved(MwmaeForPreTraining(config), tmp_path)
    analysis = analyze(model, noise(8, 32, 32), batch_size=4)
    windows = windows_of(config)
    assert windows == {"decoder": config.decoder_window_sizes} == {"decoder": (2, 4, 8, 0, 0)}
    decoder = analysis.stacks["decoder"]
    assert analysis.stacks["encoder"].entropy.shape == (2, 4)
    assert analysis.compared == "decoder heads"
    assert analysis.correlation.shape == (10, 10)
    for number, window in enumerate(windows["decoder"]):
        assert (decoder.entropy[:, number] <= math.log(window or config.window_patches)).all()
    assert (decoder.distance[:, 0] < 1).all()
    assert (decoder.distance[:, 4] > 2).all()


def test_a_model_without_attention_has_no_heads():
    with pytest.raises(ValueError, match="ssam has no attention, so it has no heads to look at"):
        analyze(SsamModel(SsamConfig(**SSAM)), noise(1, 64, 32), batch_size=1)


def test_clips_are_as_long_as_the_shortest_or_a_window(tmp_path):
    clips = write_clips(tmp_path / "bank")  # 1.3 s each
    data = ClipArguments(format="csv", path=str(clips))
    model = load_for_analysis(write_checkpoint(tmp_path / "model"))
    extractor = analyze_heads.AutoFeatureExtractor.from_pretrained(tmp_path / "model")
    assert read_clips(data, model, extractor, num_clips=3).shape == (3, 128, 128)
    extractor.target_length = 256
    assert read_clips(data, model, extractor, num_clips=2).shape == (2, 128, 128)  # 8 whole patches


def test_command(tmp_path, monkeypatch):
    clips, checkpoint = write_clips(tmp_path / "bank"), write_checkpoint(tmp_path / "model")
    picture = tmp_path / "pictures" / "heads.png"
    command = ["analyze_heads", "--model", str(checkpoint), "--data", str(clips), "--output", str(picture)]
    monkeypatch.setattr(sys, "argv", [*command, "analysis.clips=3"])
    analyze_heads.main()
    assert matplotlib.image.imread(picture)[..., :3].std() > 0.05
