import pytest
import torch

from modeling_sslam import SsamConfig, SsamForAudioClassification, SsamForPreTraining, SsamModel

NUM_MEL_BINS = 32


def tiny_config(**overrides) -> SsamConfig:
    fields = {"hidden_size": 32, "num_hidden_layers": 2, "num_mel_bins": NUM_MEL_BINS, "state_size": 4}
    return SsamConfig(**(fields | overrides))


def clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, NUM_MEL_BINS, generator=generator) for length in lengths]


@pytest.fixture(params=[False, True], ids=["causal", "bidirectional"])
def config(request) -> SsamConfig:
    return tiny_config(bidirectional=request.param)


@pytest.mark.parametrize(
    ("size", "trainable", "blocks"),
    [("tiny", 4_760_512, 4_697_856), ("small", 17_889_088, 17_690_112), ("base", 69_250_624, 68_557_824)],
)
def test_published_sizes(size, trainable, blocks):
    with torch.device("meta"):
        model = SsamForPreTraining(getattr(SsamConfig, size)())
    assert sum(parameter.numel() for parameter in model.parameters()) == trainable
    assert sum(parameter.numel() for parameter in model.encoder.layers.parameters()) == blocks


def test_unpublished_sizes():
    sizes = {name: getattr(SsamConfig, name)() for name in ("medium", "large", "huge")}
    assert [(c.hidden_size, c.num_hidden_layers) for c in sizes.values()] == [(512, 12), (1024, 24), (1280, 32)]
    assert (sizes["huge"].inner_size, sizes["huge"].time_step_rank) == (3840, 80)


def test_outputs_and_their_shapes(config):
    model = SsamModel(config).eval()
    output = model(torch.stack(clips(43, 43)), output_hidden_states=True)
    num_tokens = 43 // 4 * NUM_MEL_BINS // 16
    assert output.last_hidden_state.shape == (2, num_tokens, config.hidden_size)
    assert [states.shape[1] for states in output.hidden_states] == [1 + num_tokens] * 3
    assert torch.allclose(model.norm(output.hidden_states[-1])[:, 1:], output.last_hidden_state)
    assert output.token_mask is None


def test_class_token_is_blind_in_one_direction_and_sees_in_two():
    first, second = (clip[None] for clip in clips(40, 40))
    causal, both = SsamModel(tiny_config()).eval(), SsamModel(tiny_config(bidirectional=True)).eval()
    assert torch.equal(causal(first).class_hidden_state, causal(second).class_hidden_state)
    assert not torch.allclose(both(first).class_hidden_state, both(second).class_hidden_state, atol=1e-3)


def test_tokens_see_earlier_ones_only_unless_bidirectional():
    (clip,) = clips(40)
    changed = clip.clone()
    changed[20:] += 1.0
    half = 20 // 4 * NUM_MEL_BINS // 16
    for bidirectional, sees_later in ((False, False), (True, True)):
        model = SsamModel(tiny_config(bidirectional=bidirectional)).eval()
        before, after = (model(values[None]).last_hidden_state[:, :half] for values in (clip, changed))
        assert torch.equal(before, after) is not sees_later


def test_padded_batch_equals_single_clips(config):
    model = SsamModel(config).eval()
    lengths = (60, 37, 4)
    batch = torch.full((3, 60, NUM_MEL_BINS), 7.0)
    mask = torch.zeros(3, 60, dtype=torch.long)
    for row, clip in enumerate(clips(*lengths)):
        batch[row, : len(clip)], mask[row, : len(clip)] = clip, 1
    output = model(batch, attention_mask=mask)
    for row, clip in enumerate(clips(*lengths)):
        alone = model(clip[None])
        real = output.last_hidden_state[row, output.token_mask[row]]
        assert torch.allclose(real, alone.last_hidden_state[0], atol=1e-5)
        assert torch.allclose(output.class_hidden_state[row], alone.class_hidden_state[0], atol=1e-5)


def test_a_block_adds_its_mixer_to_what_it_was_given(config):
    layer = SsamModel(config).layers[0].eval()
    hidden_states = torch.randn(2, 5, config.hidden_size)
    order = torch.arange(5).flip(0).expand(2, -1)
    wanted = hidden_states + layer.mixer(layer.norm(hidden_states), order)
    assert torch.equal(layer(hidden_states, order), wanted)


def test_initialisation_is_the_official_one():
    torch.manual_seed(0)
    config = tiny_config(num_hidden_layers=9)
    model = SsamForPreTraining(config)
    weights = model.state_dict()
    mixer = "encoder.layers.4.mixer."
    for name, fan_in in {
        mixer + "in_proj.weight": config.hidden_size,
        mixer + "dt_proj.weight": config.time_step_rank,
        mixer + "conv1d.weight": config.conv_kernel,
        mixer + "out_proj.weight": config.inner_size * 9,
        "prediction_head.dense.weight": config.hidden_size,
    }.items():
        assert weights[name].abs().max().item() == pytest.approx(fan_in**-0.5, rel=0.02), name
    for layer in model.prediction_head.dense, model.prediction_head.output:
        assert not layer.bias.any()
    assert torch.allclose(weights[mixer + "A_log"].exp(), torch.arange(1.0, 5).expand(config.inner_size, -1))
    for name in ("encoder.embeddings.class_token", "mask_token"):
        assert weights[name].std().item() == pytest.approx(0.02, rel=0.4), name


def test_gradient_reaches_every_parameter_also_when_checkpointed(config):
    values = torch.stack(clips(40, 40))
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = SsamForPreTraining(config).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        model(values).prediction.square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, plain in gradients[0].items():
        assert plain is not None, name
        assert plain.any(), name
        assert torch.allclose(plain, gradients[1][name], atol=1e-7), name


def test_pretraining_replaces_half_of_the_patches():
    model = SsamForPreTraining(tiny_config()).eval()
    values = torch.stack(clips(40, 40))
    output = model(values)
    assert output.prediction.shape == (2, 20, 64)
    assert output.bool_masked_pos.sum(1).tolist() == [10, 10]
    hidden = model.encoder(values, bool_masked_pos=output.bool_masked_pos, mask_token=model.mask_token)
    assert torch.equal(hidden.last_hidden_state, output.last_hidden_state)


def test_residual_stream_stays_float32_under_autocast(config):
    model = SsamForAudioClassification(config).eval()
    values = torch.stack(clips(40, 40))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(values, output_hidden_states=True)
    assert {states.dtype for states in output.hidden_states} == {torch.float32}
    assert torch.allclose(output.logits.float(), model(values).logits, atol=0.05)


def test_classifier_sees_real_tokens_only(config):
    model = SsamForAudioClassification(config).eval()
    (clip,) = clips(24)
    padded, mask = torch.full((1, 40, NUM_MEL_BINS), 7.0), torch.zeros(1, 40)
    padded[:, :24], mask[:, :24] = clip, 1
    assert torch.allclose(model(padded, attention_mask=mask).logits, model(clip[None]).logits, atol=1e-5)
    assert model(clip[None], labels=torch.tensor([1])).loss > 0


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="state_size is 0: expected at least 1"):
        tiny_config(state_size=0)
    with pytest.raises(ValueError, match="time_step_rank is -1"):
        tiny_config(time_step_rank=-1)


def test_forward_runs_without_data(config):
    """On the meta device: shapes of a model that nobody has to load."""
    with torch.device("meta"):
        output = SsamModel(config)(torch.empty(1, 200, NUM_MEL_BINS))
    assert output.last_hidden_state.shape == (1, 100, config.hidden_size)
