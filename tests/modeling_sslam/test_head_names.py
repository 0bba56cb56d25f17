"""Names of heads in checkpoints of version 0.1; that such checkpoints load is seen in `tests/contracts/`."""

import pytest
import torch
from torch import nn

from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamForAudioFrameClassification, SslamModel
from modeling_sslam.head_names import former_head_names, names_of, our_name
from tests.families import SSLAM

CLIP_NAMES = {
    "norm.weight": "classifier.norm.weight",
    "norm.bias": "classifier.norm.bias",
    "pooled_norm.weight": "classifier.norm.weight",
    "classifier.weight": "classifier.dense.weight",
    "classifier.bias": "classifier.dense.bias",
    "pooler.score.weight": "classifier.pooler.score.weight",
}
UNCHANGED = [
    "sslam.norm.weight",
    "sslam.layers.0.norm1.weight",
    "classifier.dense.weight",
    "encoder.pooler.score.bias",
]


def build(model_class: type, **fields) -> nn.Module:
    torch.manual_seed(0)
    return model_class(SslamConfig(**(SSLAM | fields)))


def as_formerly(state_dict: dict[str, torch.Tensor], head: str) -> dict[str, torch.Tensor]:
    """Names of version 0.1."""
    former = {f"{head}.norm": "norm", f"{head}.dense": "classifier", f"{head}.pooler.score": "pooler.score"}
    stem = {name: name.rpartition(".")[0] for name in state_dict}
    return {name.replace(stem[name], former.get(stem[name], stem[name])): state_dict[name] for name in state_dict}


@pytest.mark.parametrize(("name", "ours"), CLIP_NAMES.items())
def test_former_names_become_ours(name, ours):
    assert our_name(name, names_of("classifier")) == ours
    assert our_name(name, names_of("frame_classifier")) == "frame_" + ours


@pytest.mark.parametrize("name", [*UNCHANGED, *CLIP_NAMES.values()])
def test_other_names_stay(name):
    """Among them those of today, so that renaming twice does no harm."""
    assert our_name(name, names_of("classifier")) == name


@pytest.mark.parametrize(
    ("architecture", "table"),
    [
        ("SslamForAudioClassification", names_of("classifier")),
        ("SsastForAudioFrameClassification", names_of("frame_classifier")),
        ("SslamModel", {}),
        ("SslamForPreTraining", {}),
        ("EATModel", {}),
    ],
)
def test_the_saved_class_says_which_head_it_was(architecture, table, tmp_path):
    config = SslamConfig(**SSLAM, architectures=[architecture])
    assert former_head_names(SslamConfig, None, config, {}) == table
    config.save_pretrained(tmp_path)
    assert former_head_names(SslamConfig, tmp_path, None, {}) == table
    assert former_head_names(SslamConfig, tmp_path, SslamConfig(**SSLAM), {"dtype": "float32"}) == table


def test_a_model_without_a_past_has_nothing_to_rename():
    assert former_head_names(SslamConfig, None, SslamConfig(**SSLAM), {}) == {}


@pytest.mark.parametrize("former", [True, False])
@pytest.mark.parametrize(
    ("model_class", "head", "pooling"),
    [
        (SslamForAudioClassification, "classifier", "cls"),
        (SslamForAudioClassification, "classifier", "attentive"),
        (SslamForAudioFrameClassification, "frame_classifier", "cls"),
    ],
)
def test_a_state_dict_loads_under_former_and_present_names(model_class, head, pooling, former):
    model, other = build(model_class, pooling=pooling), build(model_class, pooling=pooling)
    weights = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    given = as_formerly(weights, head) if former else dict(weights)
    assert ("norm.weight" in given) is former
    other.load_state_dict(given)
    torch.testing.assert_close(other.state_dict(), weights, rtol=0, atol=0)


def test_inside_another_module_its_own_names_are_left_alone():
    """A wrapper may have a norm and a classifier of its own."""

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = build(SslamForAudioClassification)
            self.norm, self.classifier = nn.LayerNorm(3), nn.Linear(3, 2)

    wrapper, former = Wrapper(), {}
    for name, tensor in wrapper.state_dict().items():
        own = as_formerly({name.removeprefix("model."): tensor}, "classifier")
        former |= {f"model.{theirs}" if name.startswith("model.") else name: tensor for theirs in own}
    assert {"model.norm.weight", "norm.weight"} < former.keys()
    Wrapper().load_state_dict(former)


def test_an_encoder_takes_no_head():
    """A norm that an encoder does not have is reported, not renamed."""
    encoder = build(SslamModel)
    result = encoder.load_state_dict(encoder.state_dict() | {"norm.weight": torch.ones(32)}, strict=False)
    assert result.unexpected_keys == ["norm.weight"]
