"""The downstream model of SUPERB's utterance tasks (Yang et al., 2021): a classifier that weighs an encoder's layers.

Averaging over time and the weighted sum over layers can change places, so the layers are averaged first: of a frozen
encoder only (layers, D) numbers a clip need to be kept.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

PROJECTION_SIZE = 256


def layer_means(
    encoder: PreTrainedModel, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean over the real patch tokens of the output of every layer, before the final norm.

    Differs from SUPERB's toolkit: special tokens are left out there neither of the mean nor of the count of frames.

    Args:
        input_values: (B, T, F).
        attention_mask: (B, T), 1 = real frame.
    Returns:
        (B, layers, D) float32.
    """
    output = encoder(input_values, attention_mask=attention_mask, output_hidden_states=True)
    layers = torch.stack(output.hidden_states[1:], dim=1)[:, :, encoder.config.num_special_tokens :].float()
    if output.token_mask is None:
        return layers.mean(dim=2)
    real = output.token_mask[:, None, :, None].to(layers.dtype)
    return (layers * real).sum(dim=2) / real.sum(dim=2).clamp(min=1.0)


class WeightedLayers(nn.Module):
    """Softmax-weighted sum of layers, with equal weights at first, then two linear layers, as SUPERB has them.

    Args:
        num_layers, hidden_size: of the encoder.
        num_classes: of the result.
    """

    def __init__(self, num_layers: int, hidden_size: int, num_classes: int):
        super().__init__()
        self.layer_weights = nn.Parameter(torch.zeros(num_layers))
        self.projection = nn.Linear(hidden_size, PROJECTION_SIZE)
        self.classifier = nn.Linear(PROJECTION_SIZE, num_classes)

    def forward(self, means: torch.Tensor) -> torch.Tensor:
        """(B, layers, D) -> (B, num_classes) logits."""
        weights = self.layer_weights.softmax(dim=0)
        return self.classifier(self.projection(torch.einsum("l,bld->bd", weights, means)))


class WeightedLayersClassifier(nn.Module):
    """An encoder with `WeightedLayers`, to train with `training.finetune`, the encoder frozen or not."""

    base_model_prefix = "encoder"

    def __init__(self, encoder: PreTrainedModel, num_classes: int):
        super().__init__()
        self.config = encoder.config
        self.encoder = encoder
        self.head = WeightedLayers(encoder.config.num_hidden_layers, encoder.config.hidden_size, num_classes)

    @property
    def base_model(self) -> PreTrainedModel:
        return self.encoder

    def forward(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> SequenceClassifierOutput:
        """(B, T, F) and (B, T) -> logits (B, num_classes)."""
        return SequenceClassifierOutput(logits=self.head(layer_means(self.encoder, input_values, attention_mask)))
