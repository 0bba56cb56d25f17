# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Convolutional networks over spectrograms: ResNet, CIFAR-ResNet, DenseNet and EfficientNet.

The baselines of GISE-51 (Yadav and Foster, "GISE-51: A scalable isolated sound events dataset", arXiv 2103.12306), one
class for all: the configuration names the architecture, and `layers_resnet.py`, `layers_densenet.py` and
`layers_efficientnet.py` build its stem and stages. A spectrogram is an image of one channel, frequency bins high and
frames wide.

The cells of the last map are the tokens: a column is a step, its rows are frequency bands. The receptive field of a
column is centred near the first frame of the step, and far longer than the step.
"""

from collections.abc import Sequence

import torch
from torch import nn
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_spectrogram_cnn import (
    CIFAR_RESNET,
    DENSENET,
    EFFICIENTNET,
    RESNET,
    SpectrogramCnnConfig,
    kind_and_size,
)
from .encoder import AudioEncoderOutput, AudioPreTrainedModel, TokenEncoder
from .heads import ForAudioClassification, ForAudioFrameClassification, PooledClassifier
from .layers_densenet import build_densenet, init_densenet
from .layers_efficientnet import build_efficientnet, init_efficientnet
from .layers_masked_conv import CnnStage, mean_of_cells
from .layers_resnet import build_resnet, init_cifar_resnet, init_resnet
from .tokens_masks import check_attention_mask

INITIALIZERS = {
    RESNET: init_resnet,
    CIFAR_RESNET: init_cifar_resnet,
    DENSENET: init_densenet,
    EFFICIENTNET: init_efficientnet,
}


def build_network(config: SpectrogramCnnConfig) -> tuple[nn.Module, list[CnnStage]]:
    """Stem and stages of an architecture."""
    kind, _ = kind_and_size(config.architecture)
    if kind == EFFICIENTNET:
        return build_efficientnet(config.sizes, config.drop_path_rate)
    build = {RESNET: build_resnet, CIFAR_RESNET: build_resnet, DENSENET: build_densenet}[kind]
    return build(config.sizes)


class SpectrogramCnnPreTrainedModel(AudioPreTrainedModel):
    """What all models of the family share: configuration, initialisation, and what transformers may do with them."""

    config: SpectrogramCnnConfig
    base_model_prefix = "encoder"
    _input_embed_layer = "stem"
    _no_split_modules = ["CnnStage"]
    _can_record_outputs = {"hidden_states": CnnStage}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Norms have gains of 1 and biases of 0, where the architecture does not say otherwise."""
        super()._init_weights(module)
        if isinstance(module, nn.BatchNorm2d):
            self.init_layer(module)

    def init_layer(self, layer: nn.Module) -> None:
        """As the reference starts this architecture; the classifiers, too."""
        INITIALIZERS[kind_and_size(self.config.architecture)[0]](layer)


class SpectrogramCnnModel(TokenEncoder, SpectrogramCnnPreTrainedModel):
    """Spectrogram (B, T, F) -> cells of the last map of a convolutional network."""

    def __init__(self, config: SpectrogramCnnConfig):
        super().__init__(config)
        self.stem, stages = build_network(config)
        self.layers = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = config.norm_momentum
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return next(module for module in self.stem.modules() if isinstance(module, nn.Conv2d))

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> AudioEncoderOutput:
        r"""
        Args:
            input_values: (B, T, F) spectrogram in decibels.
            attention_mask: (B, T), 1 = real frame; padding must be at the end. In evaluation it changes nothing: a
                padded clip has the outputs that it has alone.

        Returns:
            `AudioEncoderOutput`, in which `last_hidden_state` (B, S * F', D) are the cells of the last map, F' bands
            in each of the S whole steps; a clip shorter than a step has its first one. `pooler_output` (B, D) is the
            mean over all cells, also those of an incomplete last step, which published classifiers see.
            `hidden_states` are maps (B, C, F, T), behind the stem and behind each stage.
        Raises:
            ValueError: wrong rank or size of an argument, or a clip of which the network leaves nothing.
        """
        check_size(input_values, self.config)
        num_real = None
        if attention_mask is not None:
            check_attention_mask(attention_mask, input_values)
            num_real = attention_mask.sum(dim=1)
        num_steps = max(1, self.config.num_steps(input_values.shape[1]))
        is_whole = None if num_real is None else self.whole_steps(num_steps, num_real)
        maps, num_real = self.stem(input_values.transpose(1, 2)[:, None], num_real)
        for layer in self.layers:
            maps, num_real = layer(maps, num_real)
        tokens = maps[..., :num_steps].permute(0, 3, 2, 1).flatten(1, 2)
        return AudioEncoderOutput(
            last_hidden_state=tokens, pooler_output=mean_of_cells(maps, num_real), token_mask=is_whole
        )

    def whole_steps(self, num_steps: int, num_real: torch.Tensor) -> torch.Tensor:
        """(B, S * F') bool, the cells of steps all of whose frames are real; of every clip the first step is."""
        steps = torch.arange(num_steps, device=num_real.device)
        is_whole = steps < (num_real // self.config.time_stride).clamp(min=1)[:, None]
        return is_whole.repeat_interleave(self.config.num_frequency_patches, dim=1)

    def bands(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        layers: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `TokenEncoder.bands`: (B, layers, S, F', D). Every clip is encoded at once, however long it is.

        An earlier map is finer than the last one and has fewer channels: it is averaged over the cells of the last
        map, and its channels are followed by zeros. So layers can be weighted against each other.
        """
        output = self(input_values, attention_mask=attention_mask, output_hidden_states=layers is not None)
        shape = -1, self.config.num_frequency_patches
        cells = output.last_hidden_state.unflatten(1, shape)
        if output.token_mask is None:
            is_real = cells.new_ones(cells.shape[:2], dtype=torch.bool)
        else:
            is_real = output.token_mask.unflatten(1, shape)[..., 0]
        if layers is None:
            return cells[:, None], is_real
        chosen = [self.as_last_map(output.hidden_states[layer], layer, cells.shape[1]) for layer in layers]
        return torch.stack(chosen, dim=1), is_real

    def as_last_map(self, maps: torch.Tensor, layer: int, num_steps: int) -> torch.Tensor:
        """Maps (B, C, F, T) of a layer -> (B, S, F', D) means over the cells of the last map, zeros behind C channels.

        The first step of a clip that is shorter than one is the mean of what there is, padding included.
        """
        columns_of_step = self.config.time_stride // self.config.sizes.strides[layer]
        whole = maps[..., : num_steps * columns_of_step]
        means = nn.functional.adaptive_avg_pool2d(whole, (self.config.num_frequency_patches, num_steps))
        missing = self.config.hidden_size - maps.shape[1]
        return nn.functional.pad(means.permute(0, 3, 2, 1), (0, missing))


def check_size(input_values: torch.Tensor, config: SpectrogramCnnConfig) -> None:
    """Raises ValueError unless `input_values` is (B, T, F) of the model's bins, and leaves a map at the end."""
    if input_values.ndim != 3:
        raise ValueError(
            f"input_values must be (batch, frames, frequency bins), but has shape {tuple(input_values.shape)}; "
            "a (batch, 1, frequency bins, frames) image of the original code needs `.squeeze(1).transpose(1, 2)`"
        )
    num_frames, num_bins = input_values.shape[1:]
    if num_bins != config.num_frequency_bins:
        raise ValueError(
            f"input_values has {num_bins} frequency bins, but the model expects {config.num_frequency_bins}"
        )
    if config.sizes.last_size(num_frames) < 1:
        raise ValueError(
            f"input_values has {num_frames} frames, of which {config.architecture} leaves nothing: pad clips to a "
            f"step, that is {config.time_stride} frames"
        )


class SpectrogramCnnForAudioClassification(ForAudioClassification, SpectrogramCnnPreTrainedModel):
    """The network with its published classifier: one linear layer on the mean over the last map.

    EfficientNets have dropout before it. Other poolings than "mean" see whole steps only.
    """

    encoder_class = SpectrogramCnnModel
    head_class = PooledClassifier
    classifier: PooledClassifier

    def classify(self, encoded: AudioEncoderOutput) -> torch.Tensor:
        return self.classifier(self.base_model.tokens(encoded), encoded.pooler_output)


class SpectrogramCnnForAudioFrameClassification(ForAudioFrameClassification, SpectrogramCnnPreTrainedModel):
    """The network with a classifier on every time step (the mean over its frequency bands)."""

    encoder_class = SpectrogramCnnModel


__all__ = [
    "SpectrogramCnnForAudioClassification",
    "SpectrogramCnnForAudioFrameClassification",
    "SpectrogramCnnModel",
    "SpectrogramCnnPreTrainedModel",
]
