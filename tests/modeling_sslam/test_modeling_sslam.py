import pytest
import torch

from modeling_sslam import (
    SslamConfig,
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
    SslamForPreTraining,
    SslamModel,
)
from modeling_sslam.layers_transformer import DropPath
from modeling_sslam.modeling_sslam import SslamLayer
from modeling_sslam.tokens_masks import inverse_block_mask
from tests.conftest import NUM_FREQUENCY, tiny_config

POOLINGS = ("cls", "mean", "attentive", "linear_softmax")


def masks(num_rows: int, num_frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return inverse_block_mask(num_rows, (num_frames // 16, NUM_FREQUENCY), 0.8, 0.07, 5, generator)


def padded(clips: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips (T, F) of any lengths -> a batch filled up with loud garbage, and its attention mask."""
    longest = max(len(clip) for clip in clips)
    batch = torch.full((len(clips), longest, clips[0].shape[1]), 7.0)
    mask = torch.zeros(len(clips), longest, dtype=torch.long)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)] = clip
        mask[row, : len(clip)] = 1
    return batch, mask


def test_published_sizes():
    with torch.device("meta"):
        base, large = SslamForPreTraining(SslamConfig.base()), SslamModel(SslamConfig.large())
        encoder = SslamModel(SslamConfig())
    assert sum(p.numel() for p in base.parameters()) == 87_840_000
    assert sum(p.numel() for p in encoder.state_dict().values()) == 89_972_736
    assert (len(large.layers), large.config.hidden_size) == (24, 1024)


def test_outputs_and_their_shapes(config, spectrograms):
    model = SslamModel(config).eval()
    model.set_attn_implementation("eager")
    output = model(spectrograms, output_hidden_states=True, output_attentions=True, output_layer_targets=True)
    num_tokens = 1 + 128 // 16 * NUM_FREQUENCY
    assert output.last_hidden_state.shape == (3, num_tokens, config.hidden_size)
    assert len(output.hidden_states) == config.num_hidden_layers + 1
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert output.attentions[0].shape == (3, config.num_attention_heads, num_tokens, num_tokens)
    assert len(output.layer_targets) == config.num_hidden_layers


def test_fused_attention_equals_eager(config, spectrograms):
    model = SslamModel(config).eval()
    fused = model(spectrograms).last_hidden_state
    model.set_attn_implementation("eager")
    assert torch.allclose(model(spectrograms).last_hidden_state, fused, atol=1e-5)


def test_second_residual_starts_from_the_normalised_first(config):
    layer = SslamLayer(config, 0.0).eval()
    layer.attention.forward = lambda tokens, mask: (torch.ones_like(tokens), None)
    tokens = torch.randn(1, 4, config.hidden_size)
    first = layer.norm1(tokens + 1)
    assert torch.allclose(layer(tokens), layer.norm2(first + layer.mlp(first)), atol=1e-6)


@pytest.mark.parametrize("frames", [47, 48, 63])
def test_a_tail_shorter_than_a_patch_is_left_out(config, spectrograms, frames):
    model = SslamModel(config).eval()
    whole = model(spectrograms[:, : frames // 16 * 16]).last_hidden_state
    assert torch.equal(model(spectrograms[:, :frames]).last_hidden_state, whole)


def test_padded_batch_equals_single_clips(config, generator):
    model = SslamModel(config).eval()
    clips = [torch.randn(frames, 128, generator=generator) for frames in (128, 70, 16)]
    batch, mask = padded(clips)
    together = model(batch, attention_mask=mask).last_hidden_state
    for row, clip in enumerate(clips):
        alone = model(clip[None]).last_hidden_state[0]
        assert torch.allclose(together[row, : len(alone)], alone, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_of_a_padded_batch_equal_those_of_single_clips(pooling, attention, generator):
    model = SslamForAudioClassification(tiny_config(pooling=pooling, num_labels=5, initializer_range=0.5)).eval()
    model.set_attn_implementation(attention)
    clips = [torch.randn(frames, 128, generator=generator) for frames in (128, 70, 16)]
    batch, mask = padded(clips)
    together = model(batch, attention_mask=mask).logits
    alone = torch.cat([model(clip[None]).logits for clip in clips])
    assert torch.allclose(together, alone, atol=1e-5)


def test_frame_logits_and_loss_of_a_padded_batch(generator):
    model = SslamForAudioFrameClassification(tiny_config(num_labels=3)).eval()
    clips = [torch.randn(frames, 128, generator=generator) for frames in (64, 32)]
    batch, mask = padded(clips)
    labels = torch.rand(2, 4, 3, generator=generator).round()
    together = model(batch, attention_mask=mask, labels=labels)
    alone = [model(clip[None], labels=labels[row : row + 1, : len(clip) // 16]) for row, clip in enumerate(clips)]
    assert torch.allclose(together.logits[1, :2], alone[1].logits[0], atol=1e-5)
    # Six real time patches: four of the first clip, two of the second.
    assert together.loss.item() == pytest.approx((4 * alone[0].loss.item() + 2 * alone[1].loss.item()) / 6, abs=1e-5)
    classes = model(batch, attention_mask=mask, labels=torch.tensor([[0, 1, 2, -100], [1, 1, 0, 0]]))
    assert classes.loss.isfinite()


def test_frame_labels_must_fit():
    model = SslamForAudioFrameClassification(tiny_config(num_labels=3))
    with pytest.raises(ValueError, match=r"labels has shape \(1, 3\).*one class index"):
        model(torch.zeros(1, 64, 128), labels=torch.zeros(1, 3, dtype=torch.long))


def test_only_visible_patches_enter_and_clones_are_clip_major(config, spectrograms):
    model = SslamModel(config).eval()
    mask = masks(6, 128)
    output = model(spectrograms, bool_masked_pos=mask).last_hidden_state
    kept = (~mask[0]).sum()
    assert output.shape == (6, 1 + kept, config.hidden_size)
    alone = model(spectrograms[1:2], bool_masked_pos=mask[2:4]).last_hidden_state
    assert torch.allclose(output[2:4], alone, atol=1e-6)


def test_dropped_patches_keep_their_positions(config, spectrograms):
    model = SslamModel(config).eval()
    dropped = torch.zeros(3, 64, dtype=torch.bool)
    dropped[:, :32] = True
    output = model(spectrograms, bool_dropped_pos=dropped, output_hidden_states=True)
    whole = model(spectrograms, output_hidden_states=True)
    kept = torch.cat([whole.hidden_states[0][:, :1], whole.hidden_states[0][:, 33:]], dim=1)
    assert torch.equal(output.hidden_states[0], kept)


def test_decoder_predicts_every_patch_and_noise_follows_the_generator(spectrograms):
    model = SslamForPreTraining(tiny_config(mask_noise_std=0.5)).eval()
    mask = masks(6, 128)

    def predict(seed: int) -> torch.Tensor:
        return model(spectrograms, mask, generator=torch.Generator().manual_seed(seed)).prediction

    assert predict(0).shape == (6, 64, 32)
    assert torch.equal(predict(0), predict(0))
    assert not torch.allclose(predict(0), predict(1))
    assert torch.equal(model(spectrograms, mask).prediction, predict(0))


def test_gradient_reaches_every_parameter_also_with_checkpointing(config, spectrograms):
    model = SslamForPreTraining(config).train()

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        output = model(spectrograms, masks(6, 128))
        (output.prediction.square().sum() + output.class_prediction.square().sum()).backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    plain = gradients()
    # A key bias shifts all logits of a query alike: its gradient is zero but for rounding.
    assert [name for name, gradient in plain.items() if not gradient.abs().max() > 0] == []
    model.gradient_checkpointing_enable()
    for name, gradient in gradients().items():
        assert torch.allclose(gradient, plain[name], rtol=1e-4, atol=1e-5), name


def test_drop_path_rises_linearly_and_drops_whole_rows():
    model = SslamModel(tiny_config(num_hidden_layers=3, drop_path_rate=0.5))
    assert [layer.drop_path.rate for layer in model.layers] == pytest.approx([0.0, 0.25, 0.5])
    torch.manual_seed(0)
    rows = DropPath(0.5).train()(torch.ones(1000, 2, 3)).flatten(1)
    assert set(rows.unique().tolist()) == {0.0, 2.0}
    assert (rows == rows[:, :1]).all()
    assert rows.mean().item() == pytest.approx(1.0, abs=0.15)


def test_initialisation_is_the_official_one():
    torch.manual_seed(0)
    model = SslamForPreTraining(tiny_config(hidden_size=256, intermediate_size=1024, decoder_hidden_size=256))
    embeddings = model.sslam.embeddings
    assert embeddings.class_token.std().item() == pytest.approx(1.0, abs=0.15)
    bound = (6 / (256 + 256)) ** 0.5
    assert embeddings.patch_embeddings.projection.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert embeddings.patch_embeddings.projection.bias.abs().max().item() == pytest.approx(1 / 16, rel=0.05)
    assert model.sslam.layers[0].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not model.sslam.layers[0].mlp.fc1.bias.any()
    fan_in = 256 // 16 * 9
    assert model.decoder.layers[0].conv.weight.abs().max().item() == pytest.approx(fan_in**-0.5, rel=0.01)
    assert model.decoder.projection.weight.abs().max().item() == pytest.approx(256**-0.5, rel=0.01)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 64, 128), r"must be \(batch, frames, mel bins\)"),
        ((64, 128), r"must be \(batch, frames, mel bins\)"),
        ((1, 10, 128), "10 frames x 128 mel bins, less than one patch"),
        ((1, 64, 64), "64 mel bins, but the model expects 128"),
        ((1, 272, 128), "272 frames; positions reach 256: cut the clip into windows"),
    ],
)
def test_input_that_does_not_fit_is_refused(config, shape, message):
    with pytest.raises(ValueError, match=message):
        SslamModel(config)(torch.zeros(shape))


def test_masks_that_do_not_fit_are_refused(config, spectrograms):
    model = SslamModel(config)
    with pytest.raises(ValueError, match="attention_mask has shape"):
        model(spectrograms, attention_mask=torch.ones(3, 64))
    with pytest.raises(ValueError, match="expected a multiple of 3 rows"):
        model(spectrograms, bool_masked_pos=masks(4, 128))
    with pytest.raises(ValueError, match="masks 64 of 64 tokens: at least one must stay visible"):
        model(spectrograms, bool_masked_pos=torch.ones(3, 64, dtype=torch.bool))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, "hidden_size 30 is not a multiple of num_attention_heads 4"),
        ({"num_mel_bins": 100}, "num_mel_bins 100 is not a multiple of patch_size 16"),
        ({"pooling": "max"}, "pooling is 'max': choose one of cls, mean, attentive, linear_softmax"),
    ],
)
def test_configuration_that_does_not_fit_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SslamConfig(**fields)
