"""SSAST's models: sizes, tokens, masks, positions, and messages."""

import pytest
import torch

from modeling_sslam import SsastConfig, SsastForAudioClassification, SsastForPreTraining, SsastModel
from modeling_sslam.tokens_masks import kept_tokens

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_mel_bins": 32,
    "num_labels": 3,
}
PATCH = SIZES | {"position_grid": (8, 2)}
FRAME = SIZES | {"patch_size": (2, 32), "position_grid": (64, 1)}
OVERLAP = PATCH | {"patch_stride": (10, 10)}
VARIANTS = pytest.mark.parametrize("fields", [PATCH, FRAME, OVERLAP], ids=["patch", "frame", "overlap"])


def build(model_class, fields=PATCH, **overrides):
    torch.manual_seed(0)
    return model_class(SsastConfig(**(fields | overrides))).eval()


# Of eight patches, three a row are masked.
MASK = torch.zeros(2, 8, dtype=torch.bool).scatter(1, torch.tensor([[0, 5, 3], [7, 1, 2]]), True)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def padded(clips: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Clips (T, F) of any lengths as a batch filled up with loud garbage, and its attention mask."""
    batch = torch.full((len(clips), max(map(len, clips)), clips[0].shape[1]), 7.0)
    mask = torch.zeros(batch.shape[:2], dtype=torch.long)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)], mask[row, : len(clip)] = clip, 1
    return {"input_values": batch, "attention_mask": mask}


@pytest.mark.parametrize(
    ("size", "published", "imagenet_heads"),
    [("tiny", 6_046_290, 386_000), ("small", 22_854_354, 770_000), ("base", 88_763_346, 1_538_000)],
)
@pytest.mark.parametrize("kind", ["patch", "frame"])
def test_published_sizes(kind, size, published, imagenet_heads):
    config = getattr(SsastConfig, kind)(size)
    with torch.device("meta"):
        model = SsastForPreTraining(config)
    # Without the unused heads of ImageNet and the two numbers that say how long pretraining clips were.
    assert sum(p.numel() for p in model.parameters()) == published - imagenet_heads - 2
    assert config.position_grid[0] * config.position_grid[1] == 512


@VARIANTS
@pytest.mark.parametrize("frames", [16, 70, 128, 300])
def test_tokens_of_any_length_are_time_major_behind_two_class_tokens(fields, frames):
    model = build(SsastModel, fields)
    config, clip = model.config, noise(1, frames, 32)
    output = model(clip, output_hidden_states=True)
    (frames_of_patch, bins), (time, frequency) = config.patch_size, config.patch_stride
    num_time = (frames - frames_of_patch) // time + 1
    assert output.last_hidden_state.shape == (1, 2 + num_time * config.num_frequency_patches, 32)
    patches = output.hidden_states[0][0, 2:] - model.embeddings.positions(num_time * config.num_frequency_patches)[0]
    projection = model.embeddings.patch_embeddings.projection
    for index in (0, config.num_frequency_patches - 1, -1):
        step, row = divmod(index % len(patches), config.num_frequency_patches)
        cells = clip[0, step * time :, row * frequency :][:frames_of_patch, :bins]
        expected = (projection.weight[:, 0] * cells).sum(dim=(1, 2)) + projection.bias
        torch.testing.assert_close(patches[index], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.norm(output.hidden_states[-1]), output.last_hidden_state)


def test_class_tokens_have_positions_of_their_own():
    model = build(SsastModel, initializer_range=0.5)
    first = model(noise(1, 64, 32), output_hidden_states=True).hidden_states[0]
    embeddings = model.embeddings
    special = torch.cat([embeddings.class_token, embeddings.distillation_token], dim=1)
    assert torch.equal(first[:, :2], special + embeddings.position_embeddings[:, :2])


def test_masked_patches_keep_their_position_and_lose_their_content():
    model, clip = build(SsastForPreTraining), noise(2, 64, 32)
    output = model(clip, bool_masked_pos=MASK, output_hidden_states=True)
    sequence = output.hidden_states[0][:, 2:]
    positions = model.ssast.embeddings.positions(8)
    patches = model.ssast.embeddings.patches(clip) + positions
    torch.testing.assert_close(sequence[MASK], (model.mask_token + positions).expand(2, -1, -1)[MASK])
    torch.testing.assert_close(sequence[~MASK], patches[~MASK])
    assert output.discriminative.shape == output.generative.shape == (2, 3, 256)
    changed = clip.clone()
    changed[0, :16, :16] += 1.0  # patch 0, which is masked
    torch.testing.assert_close(model(changed, bool_masked_pos=MASK).generative, output.generative)


def test_heads_give_the_masked_patches_in_time_order():
    model, clip = build(SsastForPreTraining), noise(2, 64, 32)
    kept = kept_tokens(MASK)
    for given in ({"bool_masked_pos": MASK}, {"kept_indices": kept}, {"kept_indices": kept.flip(1)}):
        output = model(clip, **given)
        masked = output.last_hidden_state[:, 2:][MASK].unflatten(0, (2, 3))
        assert torch.equal(output.discriminative, model.discriminative_head(masked))
        assert torch.equal(output.generative, model.generative_head(masked))


def test_a_head_is_two_linear_layers_with_relu_between():
    head, tokens = build(SsastForPreTraining).generative_head, noise(2, 3, 32)
    assert torch.equal(head(tokens), head.output(head.dense(tokens).clamp(min=0)))


@VARIANTS
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_is_not_attended_to(fields, attention):
    model = build(SsastModel, fields, position_fit="start", initializer_range=0.2)
    model.set_attn_implementation(attention)
    clips = [noise(frames, 32) for frames in (80, 57, 16)]
    with torch.no_grad():
        together = model(**padded(clips))
        for row, clip in enumerate(clips):
            alone = model(clip[None]).last_hidden_state[0]
            real = torch.cat([torch.ones(2, dtype=torch.bool), together.token_mask[row]])
            torch.testing.assert_close(together.last_hidden_state[row][real], alone, atol=1e-5, rtol=1e-5)


def test_official_positions_depend_on_the_length_of_the_padded_clip():
    model, clip = build(SsastModel, initializer_range=0.5), noise(32, 32)
    alone = model(clip[None]).last_hidden_state[0]
    batch = model(**padded([noise(64, 32), clip])).last_hidden_state[1, : len(alone)]
    assert not torch.allclose(batch, alone, atol=1e-2)


def test_unknown_size():
    with pytest.raises(ValueError, match="Unknown size 'huge': expected one of tiny, small, base"):
        SsastConfig.patch("huge")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_values": noise(1, 64, 40)}, "input_values has 40 mel bins, but the model expects 32"),
        ({"input_values": noise(1, 1, 64, 32)}, r"input_values must be \(batch, frames, mel bins\)"),
        ({"input_values": noise(1, 15, 32)}, "15 frames x 32 mel bins, less than one patch"),
        (
            {"input_values": noise(1, 64, 32), "attention_mask": torch.ones(1, 63)},
            r"attention_mask has shape \(1, 63\), but input_values has \(1, 64\) clips and frames",
        ),
    ],
)
def test_inputs_that_do_not_fit(inputs, message):
    with pytest.raises(ValueError, match=message):
        build(SsastModel)(**inputs)


def test_clips_beyond_the_table_are_refused_where_it_is_not_stretched():
    with pytest.raises(ValueError, match="the clip has 9 time steps, and the learned positions reach 8: cut the clip"):
        build(SsastModel, position_fit="start")(noise(1, 144, 32))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "pretraining needs one mask, but got neither: pass bool_masked_pos or kept_indices"),
        (
            {"bool_masked_pos": torch.ones(1, 9).bool()},
            r"bool_masked_pos has shape \(1, 9\): expected 1 rows .clips. and 8 columns",
        ),
        ({"bool_masked_pos": torch.ones(1, 8).bool()}, "bool_masked_pos masks 8 of 8 tokens"),
    ],
)
def test_masks_that_do_not_fit(inputs, message):
    with pytest.raises(ValueError, match=message):
        build(SsastForPreTraining)(noise(1, 64, 32), **inputs)


def test_pretraining_refuses_patches_that_overlap():
    with pytest.raises(ValueError, match=r"patch_stride \(10, 10\) differs from patch_size \(16, 16\)"):
        build(SsastForPreTraining, OVERLAP)


def test_a_pretrained_encoder_is_fine_tuned_with_another_stride(tmp_path):
    pretrained = build(SsastForPreTraining)
    pretrained.save_pretrained(tmp_path)
    model = SsastForAudioClassification.from_pretrained(tmp_path, patch_stride=(10, 10))
    assert model.ssast.embeddings.patch_embeddings.projection.stride == (10, 10)
    for name, tensor in pretrained.ssast.state_dict().items():
        assert torch.equal(model.ssast.state_dict()[name], tensor)
    assert model(noise(1, 64, 32)).logits.shape == (1, 3)


@VARIANTS
@pytest.mark.parametrize("frames", [70, 300])
def test_positions_prepared_for_a_length_give_the_same_and_are_saved(fields, frames, tmp_path):
    model, clip = build(SsastForAudioClassification, fields, initializer_range=0.5), noise(1, frames, 32)
    logits = model(clip).logits
    model.ssast.prepare_for_clips(frames)
    num_patches = model.ssast(clip).last_hidden_state.shape[1] - 2
    assert model.ssast.embeddings.position_embeddings.shape == (1, 2 + num_patches, 32)
    torch.testing.assert_close(model(clip).logits, logits)
    model.save_pretrained(tmp_path)
    loaded = SsastForAudioClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(clip).logits, logits)


def test_residual_stream_keeps_the_precision_of_the_weights():
    model, clip = build(SsastForPreTraining), noise(2, 64, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model(clip, bool_masked_pos=MASK, output_hidden_states=True).hidden_states
    assert {state.dtype for state in states} == {torch.float32}
    half = model.to(torch.bfloat16)
    assert half(clip.bfloat16(), bool_masked_pos=MASK).last_hidden_state.dtype == torch.bfloat16
