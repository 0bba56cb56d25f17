"""How every parameter of every family starts, however the model comes about.

One row says of a kind of parameter how it starts; the first row that matches a name counts. What a row demands is
checked as closely as the number of values allows.
"""

import copy
import dataclasses
import re
from collections.abc import Callable

import pytest
import torch
import transformers
from torch import nn

from modeling_sslam.configuration_audio_encoder import AudioEncoderConfig
from modeling_sslam.configuration_spectrogram_cnn import kind_and_size
from modeling_sslam.modeling_mwmae import initial_decoder_positions, initial_positions
from modeling_sslam.modeling_sslam import position_embeddings
from tests.families import FAMILIES

HEADS = ("AutoModelForPreTraining", "AutoModelForAudioClassification", "AutoModelForAudioFrameClassification")
TRUNCATION = 2 / 0.87962566103423978  # deviations at which a LeCun normal is cut off


@dataclasses.dataclass(frozen=True)
class Start:
    """What a fresh parameter looks like.

    Args:
        std: standard deviation; `mean` is its mean.
        bound: of absolute values, to which many values come close.
    """

    std: float
    mean: float = 0.0
    bound: float | None = None

    def problem(self, tensor: torch.Tensor) -> str:
        tensor = tensor.detach().float()
        if self.std == 0:
            return "" if (tensor == self.mean).all() else f"is not {self.mean} everywhere"
        if tensor.numel() < 4:
            return "" if tensor.all() else "has values that are zero"
        spread, error = tensor.std().item(), 4 * tensor.numel() ** -0.5
        if abs(spread / self.std - 1) > error:
            return f"has deviation {spread:.4f} instead of {self.std:.4f}"
        if abs(tensor.mean().item() - self.mean) > error * self.std:
            return f"has mean {tensor.mean():.4f} instead of {self.mean:.4f}"
        if self.bound is not None:
            largest, lowest = tensor.abs().max().item(), 0.8 * self.bound if tensor.numel() > 200 else 0.0
            if not lowest <= largest <= self.bound * (1 + 1e-6):
                return f"reaches {largest:.4f} instead of {self.bound:.4f}"
        return ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A parameter that starts as a certain tensor."""

    make: Callable[[AudioEncoderConfig], torch.Tensor]
    config: AudioEncoderConfig

    def problem(self, tensor: torch.Tensor) -> str:
        wanted = self.make(self.config)
        return "" if torch.allclose(tensor, wanted.expand_as(tensor), atol=1e-6) else "is another table"


ZEROS, ONES = Start(0.0), Start(0.0, mean=1.0)
MODELS = "(encoder|sslam|ssast)"


def uniform(bound: float) -> Start:
    return Start(bound / 3**0.5, bound=bound)


def xavier(fan_in: int, fan_out: int) -> Start:
    return uniform((6 / (fan_in + fan_out)) ** 0.5)


def lecun(fan_in: int, gain: float = 1.0) -> Start:
    std = (gain / fan_in) ** 0.5
    return Start(std, bound=TRUNCATION * std)


class Rules:
    """The rows of a family: pattern of a name, and how the parameter starts, given its layer."""

    def __init__(self, config: AudioEncoderConfig):
        self.config = config
        self.width = config.hidden_size
        self.area = config.patch_size[0] * config.patch_size[1]

    def of(self, name: str, layer: nn.Module) -> Start | Table:
        for pattern, start in self.rows():
            if re.fullmatch(pattern, name):
                return start(layer) if callable(start) else start
        raise AssertionError(f"no row says how {name} of {self.config.model_type} starts")

    def rows(self) -> list:
        return [
            (r".*norm\d?\.weight", ONES),
            (r".*norm\d?\.bias", ZEROS),
        ]

    def torch_rows(self, pattern: str) -> list:
        """PyTorch's own start of a layer, bias and all."""
        return [(rf"{pattern}\.(weight|bias)", lambda layer: uniform(layer.weight[0].numel() ** -0.5))]


class SslamRules(Rules):
    def rows(self) -> list:
        return [
            *super().rows(),
            (r".*class_token", Start(self.config.class_token_std)),
            (r".*patch_embeddings\.projection\.weight", xavier(self.area, self.width)),
            *self.torch_rows(r".*patch_embeddings\.projection"),
            *self.torch_rows(r"decoder\.(layers\.\d\.conv|projection)"),
            (r".*position_embeddings", Table(position_embeddings, self.config)),
            (r".*\.bias", ZEROS),
            (r".*\.weight", Start(0.02)),
        ]


class SsastRules(Rules):
    def rows(self) -> list:
        return [
            *super().rows(),
            (r".*(class_token|distillation_token|position_embeddings)", Start(0.02)),
            (r"mask_token", Start(self.width**-0.5)),
            *self.torch_rows(r".*patch_embeddings\.projection"),
            *self.torch_rows(r"(discriminative|generative)_head\.(dense|output)"),
            (r".*\.bias", ZEROS),
            (r".*\.weight", Start(0.02)),
        ]


class MaskedPatchRules(Rules):
    def rows(self) -> list:
        return [
            *super().rows(),
            (r".*(class_token|mask_token)", Start(0.02)),
            (r".*patch_embeddings\.projection\.weight", xavier(self.area, self.area * self.width)),
            (r".*patch_embeddings\.projection\.bias", ZEROS),
        ]


class SsamRules(MaskedPatchRules):
    def rows(self) -> list:
        config = self.config
        mixer = r".*mixer\.(reverse\.)?"
        return [
            *super().rows(),
            (mixer + "A_log", Table(lambda config: torch.arange(1.0, config.state_size + 1).log(), config)),
            (mixer + "D", ONES),
            # The inverse of softplus of time steps that are log-uniform over 0.001 .. 0.1.
            (mixer + r"dt_proj\.bias", Start(1.35, mean=-4.6)),
            *self.torch_rows(mixer + "conv1d"),
            (mixer + r"out_proj\.weight", uniform((config.inner_size * config.num_hidden_layers) ** -0.5)),
            (r".*\.bias", ZEROS),
            *self.torch_rows(r".*"),
        ]


class AxlstmRules(MaskedPatchRules):
    def rows(self) -> list:
        small, config = (2 / (5 * self.width)) ** 0.5, self.config
        forget = Table(lambda config: torch.linspace(3, 6, config.num_cell_heads), config)
        return [
            (r".*layers\.\d\.norm\.weight|.*outnorm\.weight", ZEROS),  # they hold what the gain exceeds one by
            *super().rows(),
            (r".*(proj_up|[qkv]_proj)\.weight", Start(small)),
            (r".*proj_down\.weight", Start(2 / self.width**0.5)),
            (r".*learnable_skip", ONES),
            (r".*[if]gate\.weight", ZEROS),
            (r".*igate\.bias", Start(0.1)),
            (r".*fgate\.bias", forget),
            *self.torch_rows(r".*conv1d"),
            *self.torch_rows(r"prediction_head\.(dense|output)"),
            (r".*\.bias", ZEROS),
            (r".*\.weight", Start(0.02)),
        ]


class SsastMaeRules(MaskedPatchRules):
    def rows(self) -> list:
        return [
            *super().rows(),
            *self.torch_rows(r"prediction_head\.(dense|output)"),
            (r".*\.bias", ZEROS),
            (r".*\.weight", lambda layer: xavier(layer.in_features, layer.out_features)),
        ]


class MwmaeRules(MaskedPatchRules):
    def rows(self) -> list:
        config = self.config
        return [
            *super().rows(),
            (r"decoder\.(embed|projection)\.weight", lambda layer: lecun(layer.in_features)),
            (r"decoder\.position_embeddings", Table(initial_decoder_positions, config)),
            (r".*position_embeddings", Table(initial_positions, config)),
            (r".*relative_position_bias_table", lambda group: lecun(2 * group.window - 1, 0.02)),
            (r".*\.bias", ZEROS),
            (r".*\.weight", lambda layer: xavier(layer.in_features, layer.out_features)),
        ]


def by_fan_in(layer: nn.Module) -> Start:
    return Start((2 / layer.weight[0].numel()) ** 0.5)


class CnnRules(Rules):
    """Of all architectures; spec gise51, section 9."""

    def __init__(self, config: AudioEncoderConfig):
        self.config = config

    def rows(self) -> list:
        kind, _ = kind_and_size(self.config.architecture)
        return [
            (r".*(running_mean|num_batches_tracked)", ZEROS),
            (r".*running_var", ONES),
            *self.of_kind(kind),
            *super().rows(),
            (r".*normalization\.weight", ONES),
            (r".*normalization\.bias", ZEROS),
            *self.torch_rows(r".*"),
        ]

    def of_kind(self, kind: str) -> list:
        """What differs from PyTorch."""
        convolution = r".*(convolution|conv|conv\d)\.weight"
        return {
            "resnet": [
                (convolution, lambda layer: Start((2 / layer.weight[:, 0].numel()) ** 0.5)),
                (r".*normalization\.weight", Start(0.02, mean=1.0)),
            ],
            "cifar-resnet": [(convolution, by_fan_in), (r".*(dense|score)\.weight", by_fan_in)],
            "densenet": [(convolution, by_fan_in), (r".*(dense|score)\.bias", ZEROS)],
            "efficientnet": [],
        }[kind]


RULES = {
    "sslam": SslamRules,
    "eat": SslamRules,
    "ssast": SsastRules,
    "ssam": SsamRules,
    "axlstm": AxlstmRules,
    "ssast_mae": SsastMaeRules,
    "mwmae": MwmaeRules,
    "spectrogram_cnn": CnnRules,
}
# Tiny, but wide enough that deviations say something.
CONFIGS = {
    name: type(family.config)(**family.config.to_dict() | ({} if family.derived_fields else {"hidden_size": 64}))
    for name, family in FAMILIES.items()
    if family.config.model_type in RULES
}
CONFIGS["ssast_mae with transformer head"] = type(CONFIGS["ssast_mae"])(
    **CONFIGS["ssast_mae"].to_dict()
    | {"prediction_num_layers": 1, "prediction_hidden_size": 16, "prediction_num_attention_heads": 2}
)
CASES = [
    (name, auto_class)
    for name, config in CONFIGS.items()
    for auto_class in config.auto_classes
    if auto_class != "AutoConfig"
]


def problems(model: nn.Module, names: set[str] | None = None) -> list[str]:
    """What is wrong with the parameters of a model, or with those that are named, and with its buffers."""
    rules, found = RULES[model.config.model_type](model.config), []
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, tensor in tensors.items():
        if names is None or name in names:
            layer = model.get_submodule(name.rpartition(".")[0])
            if problem := rules.of(name, layer).problem(tensor):
                found.append(f"{name} {problem}")
    return found


def build(name: str, auto_class: str, **fields) -> nn.Module:
    torch.manual_seed(0)
    config = copy.deepcopy(CONFIGS[name])
    for field, value in fields.items():
        setattr(config, field, value)
    return getattr(transformers, auto_class).from_config(config)


@pytest.mark.parametrize(("name", "auto_class"), CASES)
def test_a_new_model_starts_as_its_family_does(name, auto_class):
    assert problems(build(name, auto_class)) == []


@pytest.mark.parametrize("name", CONFIGS)
def test_attentive_pooling_starts_as_the_other_linear_layers(name):
    model = build(name, "AutoModelForAudioClassification", pooling="attentive")
    assert model.classifier.pooler.score.weight.any()
    assert problems(model) == []


@pytest.mark.parametrize(("name", "auto_class"), CASES)
def test_a_model_made_without_memory_starts_the_same_when_it_gets_some(name, auto_class):
    """As transformers loads models: made on the meta device, then initialised where nothing was loaded."""
    with torch.device("meta"):
        model = build(name, auto_class)
    model.to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(7.0)
    model.init_weights()
    assert problems(model) == []


@pytest.mark.parametrize(("name", "auto_class"), [case for case in CASES if case[1] in HEADS])
def test_what_a_checkpoint_of_the_encoder_lacks_starts_the_same(name, auto_class, tmp_path):
    encoder = build(name, "AutoModel")
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1.0)
    encoder.save_pretrained(tmp_path)
    model, info = getattr(transformers, auto_class).from_pretrained(tmp_path, output_loading_info=True)
    torch.testing.assert_close(model.base_model.state_dict(), encoder.state_dict(), rtol=0, atol=0)
    own = {name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")}
    assert set(info["missing_keys"]) == own
    assert problems(model, own) == []


def test_standard_deviations_of_configurations_are_used():
    model = build("sslam", "AutoModel", class_token_std=0.5, initializer_range=0.1)
    assert model.embeddings.class_token.std().item() == pytest.approx(0.5, rel=0.3)
    assert model.layers[0].mlp.fc1.weight.std().item() == pytest.approx(0.1, rel=0.1)
    model = build("ssast patch", "AutoModel", initializer_range=0.1)
    assert model.embeddings.position_embeddings.std().item() == pytest.approx(0.1, rel=0.1)
    assert model.layers[0].attention.qkv.weight.std().item() == pytest.approx(0.1, rel=0.1)
    model = build("ssast_mae", "AutoModelForPreTraining", initializer_range=0.1)
    assert model.mask_token.std().item() == pytest.approx(0.1, rel=0.3)
    assert model.encoder.embeddings.class_token.std().item() == pytest.approx(0.1, rel=0.3)
