"""The encoder contract of `modeling_sslam/encoder.py`, which every family keeps."""

import pytest
import torch

from modeling_sslam.encoder import AudioEncoder, step_intervals
from modeling_sslam.heads import frame_loss
from tests.contracts.clips import build, clips, features
from tests.families import FAMILIES, NUM_LABELS, Family

SECONDS = (0.64, 0.36, 0.49)
LONG_SECONDS = (3.1, 1.7, 2.2)  # above every window in the table


@pytest.fixture(params=FAMILIES)
def family(request) -> Family:
    return FAMILIES[request.param]


@pytest.fixture
def encoder(family):
    return build(family)


def alone(family: Family, seconds: tuple[float, ...], number: int) -> dict[str, torch.Tensor]:
    """The inputs of one clip of a batch, without padding, mask or company."""
    clip = clips(*seconds)[number]
    inputs = family.feature_extractor(clip, 16000, padding="longest", truncation=False, return_tensors="pt")
    return {"input_values": inputs["input_values"]}


def test_an_encoder_is_what_the_protocol_says(encoder):
    assert isinstance(encoder, AudioEncoder)


@pytest.mark.parametrize("seconds", [SECONDS, LONG_SECONDS])
@pytest.mark.parametrize("which", ["output", "layers"])
def test_steps_of_a_padded_batch_equal_those_of_single_clips(family, encoder, seconds, which):
    layers = None if which == "output" else encoder.layer_indices
    inputs = features(family, *seconds)
    assert inputs["attention_mask"].min() == 0
    with torch.no_grad():
        steps, is_real = encoder.steps(**inputs, layers=layers)
        for number, length in enumerate(is_real.sum(dim=1).tolist()):
            single, all_real = encoder.steps(**alone(family, seconds, number), layers=layers)
            assert all_real.all()
            assert single.shape == (1, 1 if layers is None else len(layers), length, family.config.hidden_size)
            tolerance = 1e-5 * family.output_scale
            torch.testing.assert_close(steps[number, :, :length], single[0], rtol=0, atol=tolerance)
            assert is_real[number, :length].all()


@pytest.mark.parametrize("seconds", [SECONDS, LONG_SECONDS])
def test_steps_last_as_long_as_the_clip(family, encoder, seconds):
    inputs = alone(family, seconds, 0)
    _, is_real = encoder.steps(**inputs)
    num_frames = inputs["input_values"].shape[1]
    duration = num_frames * family.feature_extractor.seconds_per_step
    num_steps = int(is_real.sum())
    per_step = family.config.seconds_per_step
    assert num_steps == family.config.num_steps(num_frames)
    assert duration - per_step - 1e-9 <= num_steps * per_step <= duration + 1e-9
    intervals = step_intervals(family.config, num_steps)
    torch.testing.assert_close(intervals[1:, 0], intervals[:-1, 1])
    torch.testing.assert_close(intervals.diff(dim=1), torch.full((num_steps, 1), per_step, dtype=torch.float64))
    assert intervals[0, 0] >= 0
    assert intervals[-1, 1] <= duration + 1e-9


@pytest.mark.parametrize("seconds", [SECONDS, LONG_SECONDS])
def test_steps_are_in_time_order(family, encoder, seconds):
    """A change in the middle of a clip moves the steps that lie there most."""
    values = alone(family, seconds, 0)["input_values"]
    stride, num_frames = family.config.time_stride, values.shape[1]
    start = num_frames // 2 // stride * stride
    changed = values.clone()
    changed[:, start : start + 2 * stride] += 3.0
    with torch.no_grad():
        moved = (encoder.steps(changed)[0] - encoder.steps(values)[0]).norm(dim=3)[0, 0]
    assert abs(int(moved.argmax()) - start // stride) <= 2
    assert moved.max() > 2 * moved[0]


def test_layers_are_those_of_the_hidden_states(family, encoder):
    """The last layer, put through the norm where there is one, is the output."""
    inputs = alone(family, SECONDS, 0)
    with torch.no_grad():
        bands, _ = encoder.bands(**inputs, layers=[0, *encoder.layer_indices])
        states = encoder(**inputs, output_hidden_states=True).hidden_states
        output, _ = encoder.bands(**inputs)
    assert bands.shape[1] == len(states) == family.config.num_hidden_layers + 1
    num_content = bands[0, 0].shape[:2].numel()
    for band, state in zip(bands[0], states, strict=True):
        if family.layers_are_hidden_states:
            torch.testing.assert_close(band.flatten(0, 1), state[0, -num_content:], rtol=0, atol=0)
        num_channels = state.shape[family.channel_axis]
        assert band[..., :num_channels].abs().sum(dim=(0, 1)).min() > 0
        assert not band[..., num_channels:].any()
    last = getattr(encoder, "norm", torch.nn.Identity())(bands[:, -1])
    torch.testing.assert_close(last, output[:, 0], rtol=0, atol=1e-5)


def test_tokens_are_special_ones_and_the_rest(family, encoder):
    inputs = alone(family, SECONDS, 0)
    with torch.no_grad():
        output = encoder(**inputs)
        special, content, mask = encoder.tokens(output)
        bands, _ = encoder.bands(**inputs)
    assert mask is None
    assert (special.shape[1] > 0) == family.config.has_class_token
    torch.testing.assert_close(content, bands[:, 0].flatten(1, 2), rtol=0, atol=0)


def test_pooler_output_is_one_embedding_a_clip_and_hears_no_padding(family, encoder):
    with torch.no_grad():
        pooled = encoder(**features(family, *SECONDS)).pooler_output
        for number in range(len(SECONDS)):
            single = encoder(**alone(family, SECONDS, number)).pooler_output
            torch.testing.assert_close(pooled[number], single[0], rtol=0, atol=1e-5)
    assert pooled.ndim == 2
    assert pooled.isfinite().all()
    assert (pooled[0] - pooled[1]).norm() > 1e-3


def test_a_step_of_a_single_frame_too_many_is_left_out(family, encoder):
    """The frames behind the last whole step change nothing, or where they are heard, not the number of steps."""
    config = family.config
    values = alone(family, SECONDS, 0)["input_values"]
    whole = config.frames_of(config.num_steps(values.shape[1]))
    with torch.no_grad():
        steps, of_whole = encoder.steps(values)[0], encoder.steps(values[:, :whole])[0]
    if family.hears_incomplete_steps:
        assert steps.shape == of_whole.shape
    else:
        torch.testing.assert_close(steps, of_whole, rtol=0, atol=1e-6)


def test_layers_above_count_down_through_the_blocks(family):
    """Layer-wise decay asks for them, of encoders and of models with heads."""
    for auto_class in ("AutoModel", "AutoModelForAudioClassification"):
        model = build(family, auto_class)
        above = {name: model.layers_above(name) for name, _ in model.named_parameters()}
        depth = family.config.num_hidden_layers
        assert set(above.values()) == set(range(depth + 1))
        assert {count for name, count in above.items() if ".layers.0." in f".{name}"} == {depth}
        assert {count for name, count in above.items() if ".layers." not in f".{name}"} == {0}


@pytest.mark.parametrize("auto_class", ["AutoModelForAudioClassification", "AutoModelForAudioFrameClassification"])
def test_heads_have_a_loss_and_hear_no_padding(family, auto_class):
    model = build(family, auto_class)
    inputs = features(family, *SECONDS)
    with torch.no_grad():
        logits = model(**inputs).logits
        for number in range(len(SECONDS)):
            single = model(**alone(family, SECONDS, number)).logits[0]
            found = logits[number] if single.ndim == 1 else logits[number, : len(single)]
            torch.testing.assert_close(found, single, rtol=0, atol=1e-5)
    labels = torch.tensor([0, 1, NUM_LABELS - 1])
    if logits.ndim == 3:
        labels = labels[:, None].expand(-1, logits.shape[1])
        _, is_real = model.base_model.steps(**inputs)
        wanted = frame_loss(logits, labels, is_real)
    else:
        wanted = torch.nn.functional.cross_entropy(logits, labels)
    loss = model(**inputs, labels=labels).loss
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("pooling", ["cls", "mean", "attentive", "linear_softmax"])
def test_poolings_are_those_of_every_family(family, pooling):
    fields = family.config.to_dict() | {"pooling": pooling}
    if pooling == "cls" and not family.config.has_class_token:
        with pytest.raises(ValueError, match="pooling is 'cls': choose one of mean, attentive, linear_softmax"):
            type(family.config)(**fields)
        return
    model = build(Family(type(family.config)(**fields), family.feature_extractor), "AutoModelForAudioClassification")
    inputs = features(family, *SECONDS)
    with torch.no_grad():
        logits = model(**inputs).logits
        single = model(**alone(family, SECONDS, 1)).logits[0]
    torch.testing.assert_close(logits[1], single, rtol=0, atol=1e-5)


def test_two_spellings_of_a_mask_are_one(family):
    if family.objective is None:
        pytest.skip("this family is not pretrained under its own name")
    model = build(family, "AutoModelForPreTraining")
    values = features(family, 0.6, 0.6)["input_values"]
    mask = family.pretraining_inputs(values)["bool_masked_pos"]
    kept = (~mask).nonzero()[:, 1].unflatten(0, (len(mask), -1))
    with torch.no_grad():
        torch.testing.assert_close(model(values, bool_masked_pos=mask)[0], model(values, kept_indices=kept)[0])
    with pytest.raises(ValueError, match="needs one mask, but got neither: pass bool_masked_pos or kept_indices"):
        model(values)
    with pytest.raises(ValueError, match="needs one mask, but got both"):
        model(values, bool_masked_pos=mask, kept_indices=kept)
    with pytest.raises(ValueError, match=r"bool_masked_pos has shape .* expected"):
        model(values, bool_masked_pos=mask[:, 1:])
    with pytest.raises(ValueError, match=r"kept_indices has shape .* but there are 2 clips"):
        model(values, kept_indices=kept[:, :0])
    uneven = mask.clone()
    uneven[0, 0] = ~uneven[0, 0]
    with pytest.raises(ValueError, match="must mask the same number of tokens"):
        model(values, bool_masked_pos=uneven)


@pytest.mark.parametrize("seconds", [SECONDS, LONG_SECONDS])
def test_a_mask_of_other_frames_is_refused(family, encoder, seconds):
    inputs = features(family, *seconds)
    inputs["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (0, 1))
    with pytest.raises(ValueError, match=r"attention_mask has shape .*, but input_values has .* clips and frames"):
        encoder.steps(**inputs)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.is_recurrent])
@pytest.mark.parametrize("masked", [False, True])
def test_an_exported_encoder_takes_batches_of_any_size(name, masked):
    """The size of the batch it is exported with must not become part of it. Recurrent encoders are not there yet."""
    encoder = build(FAMILIES[name])
    inputs = features(FAMILIES[name], 0.64, 0.36)
    names = ("input_values", "attention_mask") if masked else ("input_values",)
    batch = torch.export.Dim("batch", min=2, max=64)
    arguments = tuple(inputs[name] for name in names)
    program = torch.export.export(encoder, arguments, dynamic_shapes={name: {0: batch} for name in names})
    more = tuple(torch.cat([values, values, values[:1]]) for values in arguments)
    with torch.no_grad():
        found, wanted = program.module()(*more), encoder(*more)
    torch.testing.assert_close(found.pooler_output, wanted.pooler_output, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.last_hidden_state, wanted.last_hidden_state, rtol=0, atol=1e-5)
