"""SSLAM's models: sizes, blocks, masks and clones, decoder, and messages."""

import pytest
import torch

from modeling_sslam import SslamConfig, SslamForPreTraining, SslamModel
from modeling_sslam.layers_transformer import DropPath
from modeling_sslam.modeling_sslam import SslamDecoder, SslamLayer
from modeling_sslam.tokens_masks import kept_tokens
from tests.conftest import NUM_FREQUENCY, tiny_config


def masks(num_rows: int, num_frames: int) -> torch.Tensor:
    """Keeps a fifth of the patches of each row."""
    num_patches = num_frames // 16 * NUM_FREQUENCY
    noise = torch.rand(num_rows, num_patches, generator=torch.Generator().manual_seed(1))
    return noise >= noise.sort(dim=1).values[:, num_patches // 5, None]


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


def test_second_residual_starts_from_the_normalised_first(config):
    layer = SslamLayer(config, 0.0).eval()
    layer.attention.forward = lambda tokens, mask: (torch.ones_like(tokens), None)
    tokens = torch.randn(1, 4, config.hidden_size)
    first = layer.norm1(tokens + 1)
    assert torch.allclose(layer(tokens), layer.norm2(first + layer.mlp(first)), atol=1e-6)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_is_not_attended_to(attention, generator):
    model = SslamModel(tiny_config(initializer_range=0.5)).eval()
    model.set_attn_implementation(attention)
    clips = [torch.randn(frames, 128, generator=generator) for frames in (128, 70, 16)]
    batch, mask = padded(clips)
    together = model(batch, attention_mask=mask).last_hidden_state
    for row, clip in enumerate(clips):
        alone = model(clip[None]).last_hidden_state[0]
        assert torch.allclose(together[row, : len(alone)], alone, atol=1e-5)


def test_only_kept_patches_enter_and_clones_are_clip_major(config, spectrograms):
    model = SslamModel(config).eval()
    kept = kept_tokens(masks(6, 128))
    output = model(spectrograms, kept_indices=kept).last_hidden_state
    assert output.shape == (6, 1 + kept.shape[1], config.hidden_size)
    alone = model(spectrograms[1:2], kept_indices=kept[2:4]).last_hidden_state
    assert torch.allclose(output[2:4], alone, atol=1e-6)


def test_kept_patches_keep_their_positions_and_the_order_in_which_they_are_given(config, spectrograms):
    model = SslamModel(config).eval()
    kept = torch.arange(32, 64).flip(0).expand(3, -1)
    output = model(spectrograms, kept_indices=kept, output_hidden_states=True)
    whole = model(spectrograms, output_hidden_states=True).hidden_states[0]
    assert torch.equal(output.hidden_states[0], torch.cat([whole[:, :1], whole[:, 33:].flip(1)], dim=1))


def test_padding_of_clones_is_not_attended_to(spectrograms):
    """Some of the kept patches are padding: real ones and the class token do not see them."""
    model = SslamModel(tiny_config(initializer_range=0.5)).eval()
    frames = torch.ones(3, 128, dtype=torch.long)
    frames[1, 64:] = 0
    kept = torch.arange(0, 64, 2).expand(6, -1)
    louder = spectrograms.clone()
    louder[1, 64:] += 5.0
    outputs = [model(values, attention_mask=frames, kept_indices=kept) for values in (spectrograms, louder)]
    assert outputs[0].token_mask.sum(dim=1).tolist() == [32, 32, 16, 16, 32, 32]
    first, second = (output.last_hidden_state[2:4, :17] for output in outputs)
    assert torch.allclose(first, second, atol=1e-5)


def test_decoder_gets_kept_patches_in_their_places_and_noise_elsewhere(spectrograms, monkeypatch):
    model, mask, grids = SslamForPreTraining(tiny_config(mask_noise_std=0.5)).eval(), masks(6, 128), []
    monkeypatch.setattr(SslamDecoder, "forward", lambda self, grid, num_frequency: grids.append(grid) or grid)
    tokens = model(spectrograms, mask).last_hidden_state
    kept = grids[0][~mask].unflatten(0, (6, -1))
    assert torch.equal(kept, tokens[:, 1:])
    assert grids[0][mask].std().item() == pytest.approx(0.5, rel=0.05)
    order = kept_tokens(mask).flip(1)
    model(spectrograms, kept_indices=order)
    assert torch.allclose(grids[1], grids[0], atol=1e-5)


def test_decoder_layer_normalises_without_weights_and_adds_where_it_fits():
    first, second = SslamDecoder(tiny_config(decoder_hidden_size=16)).layers
    grid = torch.randn(2, 8, 8, 32)
    image = torch.nn.functional.gelu(
        torch.nn.functional.layer_norm(first.conv(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), (16,))
    )
    assert torch.allclose(first(grid), image, atol=1e-6)
    inner = second.conv(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    expected = torch.nn.functional.gelu(torch.nn.functional.layer_norm(inner, (16,))) + image
    assert torch.allclose(second(image), expected, atol=1e-6)


def test_decoder_predicts_every_patch_and_noise_follows_the_generator(spectrograms):
    model = SslamForPreTraining(tiny_config(mask_noise_std=0.5)).eval()
    mask = masks(6, 128)

    def predict(seed: int) -> torch.Tensor:
        return model(spectrograms, mask, generator=torch.Generator().manual_seed(seed)).prediction

    assert predict(0).shape == (6, 64, 32)
    assert torch.equal(predict(0), predict(0))
    assert not torch.allclose(predict(0), predict(1))
    assert torch.equal(model(spectrograms, mask).prediction, predict(0))


def test_drop_path_rises_linearly_and_drops_whole_rows():
    model = SslamModel(tiny_config(num_hidden_layers=3, drop_path_rate=0.5))
    assert [layer.drop_path.rate for layer in model.layers] == pytest.approx([0.0, 0.25, 0.5])
    torch.manual_seed(0)
    rows = DropPath(0.5).train()(torch.ones(1000, 2, 3)).flatten(1)
    assert set(rows.unique().tolist()) == {0.0, 2.0}
    assert (rows == rows[:, :1]).all()
    assert rows.mean().item() == pytest.approx(1.0, abs=0.15)


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
    model = SslamForPreTraining(config)
    with pytest.raises(ValueError, match="attention_mask has shape"):
        model(spectrograms, masks(3, 128), attention_mask=torch.ones(3, 64))
    with pytest.raises(ValueError, match="expected a multiple of 3 rows"):
        model(spectrograms, bool_masked_pos=masks(4, 128))
    with pytest.raises(ValueError, match="masks 64 of 64 tokens: at least one must stay visible"):
        model(spectrograms, bool_masked_pos=torch.ones(3, 64, dtype=torch.bool))
