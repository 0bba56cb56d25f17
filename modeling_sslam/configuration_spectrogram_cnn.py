# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of convolutional networks over spectrograms."""

from __future__ import annotations

import functools
import re

from huggingface_hub.dataclasses import strict

from .configuration_audio_encoder import AudioEncoderConfig
from .layers_densenet import DEPTHS as DENSENET_DEPTHS
from .layers_densenet import densenet_sizes
from .layers_efficientnet import SCALES as EFFICIENTNET_SCALES
from .layers_efficientnet import efficientnet_sizes
from .layers_masked_conv import CnnSizes
from .layers_resnet import DEPTHS as RESNET_DEPTHS
from .layers_resnet import cifar_resnet_sizes, resnet_sizes

RESNET, CIFAR_RESNET, DENSENET, EFFICIENTNET = "resnet", "cifar-resnet", "densenet", "efficientnet"
ARCHITECTURES = (
    *(f"{RESNET}{depth}" for depth in RESNET_DEPTHS),
    f"{CIFAR_RESNET}20 (or any 6n + 2 layers)",
    *(f"{DENSENET}{depth}" for depth in DENSENET_DEPTHS),
    *(f"{EFFICIENTNET}-{size}" for size in EFFICIENTNET_SCALES),
)
# (kind, size) of an architecture's name.
NAMES = (
    (RESNET, rf"resnet({'|'.join(RESNET_DEPTHS)})"),
    (CIFAR_RESNET, r"cifar-resnet(\d+)"),
    (DENSENET, rf"densenet({'|'.join(DENSENET_DEPTHS)})"),
    (EFFICIENTNET, rf"efficientnet-({'|'.join(EFFICIENTNET_SCALES)})"),
)


def kind_and_size(architecture: str) -> tuple[str, str]:
    """Kind of a network, and its size within the kind: ("resnet", "18"), ("efficientnet", "b0").

    Raises:
        ValueError: an unknown name.
    """
    for kind, pattern in NAMES:
        if match := re.fullmatch(pattern, architecture):
            return kind, match[1]
    raise ValueError(f"architecture is {architecture!r}: choose one of {', '.join(ARCHITECTURES)}")


@functools.lru_cache(maxsize=64)
def network_sizes(architecture: str, width: float, image_size: int) -> CnnSizes:
    """What a network is built from; a pass through it asks several times. Raises ValueError for an unknown name."""
    kind, size = kind_and_size(architecture)
    if kind == EFFICIENTNET:
        return efficientnet_sizes(size, width, image_size)
    sizes_of = {RESNET: resnet_sizes, CIFAR_RESNET: cifar_resnet_sizes, DENSENET: densenet_sizes}[kind]
    return sizes_of(size, width)


@strict
class SpectrogramCnnConfig(AudioEncoderConfig):
    r"""
    Configuration of convolutional networks over spectrograms, those that GISE-51 (Yadav and Foster, arXiv 2103.12306)
    is measured with. The defaults build its ResNet-18. Fields that are not named here are those of
    `AudioEncoderConfig`.

    Args:
        architecture: "resnet18" (34, 50, 101, 152), "cifar-resnet44" (any 6n + 2 layers), "densenet121" (161, 169,
            201) or "efficientnet-b0" (to b7).
        width_multiplier: channels as a multiple of the published ones, for small machines.
        num_frequency_bins: of a spectrogram.
        image_size: bins and frames of the nominal input whose padding EfficientNets have for every input, as in the
            reference; other networks pad the same at all ends.
        classifier_dropout: before the linear layer of a classifier; the published one of the architecture when None.
        drop_path_rate: stochastic depth that the blocks of EfficientNets approach; the published one when None. Other
            networks have none.
        norm_momentum: share of a batch in the running statistics of batch norms, at each update; the published one
            when None, which is 0.01 for EfficientNets, so that these need a thousand updates before they can be
            evaluated, and 0.1 for others.
        sampling_rate: in Hz, and
        hop_length: samples from one frame of a spectrogram to the next: together they say how long a frame lasts.
        hidden_size, num_hidden_layers: channels of the last map, and number of stages. They follow from the
            architecture and its width.

    Raises:
        ValueError: an unknown architecture, fields that contradict it, or fewer bins than leave a last map.
    """

    model_type = "spectrogram_cnn"
    auto_classes = {
        "AutoConfig": "configuration_spectrogram_cnn.SpectrogramCnnConfig",
        "AutoModel": "modeling_spectrogram_cnn.SpectrogramCnnModel",
        "AutoModelForAudioClassification": "modeling_spectrogram_cnn.SpectrogramCnnForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_spectrogram_cnn.SpectrogramCnnForAudioFrameClassification",
    }

    hidden_size: int | None = None
    num_hidden_layers: int | None = None
    architecture: str = "resnet18"
    width_multiplier: float | int = 1.0
    num_frequency_bins: int = 221
    image_size: int = 221
    classifier_dropout: float | int | None = None
    drop_path_rate: float | int | None = None
    norm_momentum: float | int | None = None
    sampling_rate: int = 22050
    hop_length: int = 220

    def __post_init__(self, **kwargs):
        if self.width_multiplier <= 0:
            raise ValueError(f"width_multiplier is {self.width_multiplier}: expected more than 0")
        sizes = self.sizes
        for name, value in (("hidden_size", sizes.channels[-1]), ("num_hidden_layers", len(sizes.depths))):
            if getattr(self, name) not in (None, value):
                raise ValueError(
                    f"{name} is {getattr(self, name)}, but {self.architecture} with width_multiplier "
                    f"{self.width_multiplier} has {value}: leave it out, it follows from these"
                )
            setattr(self, name, value)
        if self.drop_path_rate and sizes.drop_path_rate is None:
            raise ValueError(
                f"drop_path_rate is {self.drop_path_rate}, but {self.architecture} has no stochastic depth"
            )
        if self.drop_path_rate is None:
            self.drop_path_rate = sizes.drop_path_rate or 0.0
        if self.classifier_dropout is None:
            self.classifier_dropout = sizes.classifier_dropout
        if self.norm_momentum is None:
            self.norm_momentum = sizes.norm_momentum
        if not 0 < self.norm_momentum <= 1:
            raise ValueError(f"norm_momentum is {self.norm_momentum}: expected more than 0, and 1 at most")
        if self.num_frequency_patches < 1:
            raise ValueError(
                f"num_frequency_bins is {self.num_frequency_bins}: {self.architecture} leaves nothing of so few"
            )
        super().__post_init__(**kwargs)

    @property
    def sizes(self) -> CnnSizes:
        """What the network is built from."""
        return network_sizes(self.architecture, self.width_multiplier, self.image_size)

    @property
    def time_stride(self) -> int:
        return self.sizes.strides[-1]

    @property
    def num_frequency_patches(self) -> int:
        """Rows of the last map."""
        return self.sizes.last_size(self.num_frequency_bins)

    @property
    def seconds_per_frame(self) -> float:
        return self.hop_length / self.sampling_rate

    def extractor_fields(self) -> dict[str, int | float]:
        fields = ("num_frequency_bins", "sampling_rate", "hop_length")
        return {name: getattr(self, name) for name in fields}


__all__ = ["SpectrogramCnnConfig"]
