"""What every family keeps: the contracts that a user may rely on without knowing which encoder is inside."""

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoFeatureExtractor, pipeline
from transformers.utils import logging

import modeling_sslam  # noqa: F401  (registers the families)
from tests.contracts.clips import build, clips, features
from tests.families import FAMILIES, NUM_LABELS, Family

AUTO_CLASSES = [
    (name, auto_class)
    for name, family in FAMILIES.items()
    for auto_class in family.config.auto_classes
    if auto_class != "AutoConfig"
]
HEADS = [(name, auto_class) for name, auto_class in AUTO_CLASSES if auto_class != "AutoModel"]


@pytest.fixture
def complaints(caplog):
    """Warnings of transformers, which keeps them from the root logger unless told."""
    logging.enable_propagation()
    yield caplog
    logging.disable_propagation()


@pytest.fixture(params=FAMILIES)
def family(request) -> Family:
    return FAMILIES[request.param]


@pytest.mark.parametrize(("name", "auto_class"), AUTO_CLASSES)
def test_auto_class_loads_what_was_saved(name, auto_class, tmp_path, complaints):
    model = build(FAMILIES[name], auto_class)
    model.save_pretrained(tmp_path)
    loaded = getattr(transformers, auto_class).from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(FAMILIES[name].config)
    assert not complaints.records


@pytest.mark.parametrize(("name", "auto_class"), AUTO_CLASSES)
def test_what_was_saved_computes_the_same(name, auto_class, tmp_path):
    """Buffers that are not saved, such as tables of positions, are made again."""
    family = FAMILIES[name]
    model = build(family, auto_class)
    model.save_pretrained(tmp_path)
    loaded = getattr(transformers, auto_class).from_pretrained(tmp_path).eval()
    inputs = {"input_values": features(family, 0.6)["input_values"]}
    if auto_class == "AutoModelForPreTraining":
        inputs |= family.pretraining_inputs(inputs["input_values"])
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs)[0], model(**inputs)[0], rtol=0, atol=0)


@pytest.mark.parametrize(("name", "auto_class"), HEADS)
def test_the_encoder_of_a_head_model_loads_without_complaint(name, auto_class, tmp_path, complaints):
    model = build(FAMILIES[name], auto_class)
    model.save_pretrained(tmp_path)
    encoder = transformers.AutoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(encoder.state_dict(), model.base_model.state_dict(), rtol=0, atol=0)
    assert not complaints.records


def test_auto_feature_extractor_loads_what_was_saved(family, tmp_path):
    family.feature_extractor.save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is type(family.feature_extractor)
    assert loaded.to_dict() == family.feature_extractor.to_dict()


def test_stock_pipeline_classifies_without_complaint(family, tmp_path, complaints):
    build(family, "AutoModelForAudioClassification").save_pretrained(tmp_path)
    family.feature_extractor.save_pretrained(tmp_path)
    results = pipeline("audio-classification", model=str(tmp_path))(clips(1.0)[0].numpy())
    assert {entry["label"] for entry in results} == set(family.config.label2id)
    assert sum(entry["score"] for entry in results) == pytest.approx(1.0)
    assert not complaints.records


def test_our_pipeline_classifies_long_audio_in_windows(family, tmp_path):
    build(family, "AutoModelForAudioClassification").save_pretrained(tmp_path)
    family.feature_extractor.save_pretrained(tmp_path)
    tagging = pipeline("audio-tagging", model=str(tmp_path))
    results = tagging({"raw": clips(2.5)[0].numpy(), "sampling_rate": 16000}, window_s=0.6, hop_s=0.3, merge="max")
    assert {entry["label"] for entry in results} == set(family.config.label2id)


def test_logits_of_a_padded_batch_equal_those_of_single_clips(family):
    model, seconds = build(family, "AutoModelForAudioClassification"), (0.64, 0.36, 0.49)
    with torch.no_grad():
        logits = model(**features(family, *seconds)).logits
        for row, clip in enumerate(clips(*seconds)):
            alone = family.feature_extractor(clip, 16000, padding="longest", truncation=False, return_tensors="pt")
            torch.testing.assert_close(logits[row], model(**alone).logits[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_reaches_every_parameter(family, checkpointing):
    model = build(family, "AutoModelForAudioClassification").train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    inputs = features(family, 0.6, 0.6)["input_values"]
    model(inputs, labels=torch.tensor([0, NUM_LABELS - 1])).loss.backward()
    unreached = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unreached == []


def test_hidden_states_and_tuples_on_request(family):
    model, inputs = build(family), features(family, 0.6)["input_values"]
    output = model(inputs, output_hidden_states=True)
    assert len(output.hidden_states) == family.config.num_hidden_layers + 1
    assert output.hidden_states[-1].shape[family.channel_axis] == family.config.hidden_size
    assert torch.equal(model(inputs, return_dict=False)[0], output.last_hidden_state)


def test_published_base_model_is_the_default(family):
    if not family.has_published_sizes:
        pytest.skip("this family was never published")
    num_layers, num_parameters = family.published_size
    assert type(family.config)().num_hidden_layers == num_layers
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(type(family.config)())
    assert sum(p.numel() for p in model.parameters()) > num_parameters
