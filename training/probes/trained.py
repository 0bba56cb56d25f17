"""Small classifiers of frozen features that gradient descent trains: of tokens, and of all layers (SUPERB)."""

from __future__ import annotations

import numpy
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from modeling_sslam.tokens_pooling import AttentivePooling, masked_mean
from training.objectives.classification import bce_per_clip, cross_entropy

PROJECTION_SIZE = 256  # of SUPERB's downstream models


class AttentiveProbe(nn.Module):
    """Standardised tokens, pooled by learned attention, then a linear classifier.

    Args:
        feature_shape: (L, D) of the tokens of a clip.
    """

    def __init__(self, feature_shape: torch.Size, num_classes: int):
        super().__init__()
        hidden_size = feature_shape[-1]
        self.norm = nn.BatchNorm1d(hidden_size, affine=False)
        self.pooler = AttentivePooling(hidden_size)
        self.classifier = nn.Linear(hidden_size, num_classes)

    def forward(self, content: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, C) logits."""
        tokens = self.norm(content.transpose(1, 2)).transpose(1, 2)
        return self.classifier(self.pooler(tokens, None))


class WeightedLayers(nn.Module):
    """Softmax-weighted sum of layers, equal weights at first, then two linear layers: SUPERB's utterance classifier.

    Mean over time and sum over layers can change places, so it works on layers that were averaged over time: of a
    frozen encoder only these few numbers a clip need to be kept.

    Args:
        feature_shape: (layers, D) of the averaged layers of a clip.
    """

    def __init__(self, feature_shape: torch.Size, num_classes: int):
        super().__init__()
        num_layers, hidden_size = feature_shape
        self.layer_weights = nn.Parameter(torch.zeros(num_layers))
        self.projection = nn.Linear(hidden_size, PROJECTION_SIZE)
        self.classifier = nn.Linear(PROJECTION_SIZE, num_classes)

    def forward(self, means: torch.Tensor) -> torch.Tensor:
        """(B, layers, D) -> (B, C) logits."""
        return self.classifier(self.projection(torch.einsum("l,bld->bd", self.layer_weights.softmax(dim=0), means)))


def layer_means(
    encoder: PreTrainedModel, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean over the real time steps of what every layer of an encoder gives, before the final norm.

    Differs from s3prl, SUPERB's toolkit, where special tokens count as frames and the encoder sees the padding.

    Args:
        input_values: (B, T, F) or (B, T).
        attention_mask: (B, T), 1 = real frame.
    Returns:
        (B, layers, D) float32.
    """
    steps, is_real = encoder.steps(input_values, attention_mask, layers=encoder.layer_indices)
    num_layers = steps.shape[1]
    of_each_layer = is_real.repeat_interleave(num_layers, dim=0)
    return masked_mean(steps.float().flatten(0, 1), of_each_layer).unflatten(0, (-1, num_layers))


class WeightedLayersClassifier(nn.Module):
    """An encoder with `WeightedLayers`, for `training.finetune`, which may train the encoder too, as SUPERB may."""

    base_model_prefix = "encoder"

    def __init__(self, encoder: PreTrainedModel, num_classes: int):
        super().__init__()
        self.config = encoder.config
        self.encoder = encoder
        self.head = WeightedLayers((len(encoder.layer_indices), encoder.config.hidden_size), num_classes)

    @property
    def base_model(self) -> PreTrainedModel:
        return self.encoder

    def layers_above(self, name: str) -> int:
        """Blocks of the encoder above a parameter, its own included; 0 for the head."""
        prefix = f"{self.base_model_prefix}."
        return self.encoder.layers_above(name.removeprefix(prefix)) if name.startswith(prefix) else 0

    def forward(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> SequenceClassifierOutput:
        """(B, T, F) or (B, T), and (B, T) -> logits (B, C)."""
        return SequenceClassifierOutput(logits=self.head(layer_means(self.encoder, input_values, attention_mask)))


def build_probe(probe_class: type[nn.Module], features: torch.Tensor, targets: torch.Tensor, seed: int) -> nn.Module:
    """A probe for features (N, ...) and targets (N, C), its weights drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return probe_class(features.shape[1:], targets.shape[1])


def train_probe(
    probe: nn.Module,
    training: torch.Tensor,
    targets: torch.Tensor,
    evaluation: torch.Tensor,
    multi_label: bool,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> numpy.ndarray:
    """Trains a probe with AdamW and a cosine schedule.

    Args:
        training, evaluation: (N, ...) features.
        targets: (N, C) of the training clips.
        seed: of the order of the clips.
    Returns:
        (N, C) probabilities of the evaluation clips.
    """
    generator = torch.Generator().manual_seed(seed)
    loss_function = bce_per_clip if multi_label else cross_entropy
    optimizer = torch.optim.AdamW(probe.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for index in torch.randperm(len(training), generator=generator).split(64):
            elements, sample_size = loss_function(probe(training[index]), targets[index])
            optimizer.zero_grad()
            (elements.sum() / sample_size).backward()
            optimizer.step()
        schedule.step()
    with torch.inference_mode():
        logits = torch.cat([probe.eval()(batch) for batch in evaluation.split(256)])
    return (logits.sigmoid() if multi_label else logits.softmax(dim=1)).numpy()
