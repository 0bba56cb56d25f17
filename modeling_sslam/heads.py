# Copyright 2026 The modeling_sslam authors. MIT licence.
"""The classifiers of clips and of time steps, which stand on any encoder of this package."""

from typing import cast

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .configuration_audio_encoder import AudioEncoderConfig
from .encoder import AudioEncoder, AudioEncoderOutput, AudioPreTrainedModel, ModelMixin, Tokens, over_time
from .tokens_pooling import AttentivePooling, linear_softmax, masked_mean


class TokenPooling(nn.Module):
    """What classifiers of clips begin with: the tokens of a clip, pooled as the configuration says."""

    def __init__(self, config: AudioEncoderConfig):
        super().__init__()
        self.config = config
        if config.pooling == "attentive":
            self.pooler = AttentivePooling(config.hidden_size)

    def pool(self, tokens: Tokens) -> torch.Tensor:
        """(B, D) as `config.pooling` says; padding has no part in it."""
        if self.config.pooling == "cls":
            return tokens.special.mean(dim=1)
        if self.config.pooling == "mean":
            return masked_mean(tokens.content, tokens.mask)
        if self.config.pooling == "linear_softmax":
            return linear_softmax(tokens.content, tokens.mask)
        return self.pooler(tokens.content, tokens.mask)


class ClipClassifier(TokenPooling):
    """Pooling, norm and linear layer: the tokens of a clip to its logits."""

    def __init__(self, config: AudioEncoderConfig):
        super().__init__(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.classifier_norm_eps)
        self.dense = nn.Linear(config.hidden_size, cast(int, config.num_labels))

    def forward(self, tokens: Tokens) -> torch.Tensor:
        """(B, C) logits."""
        return self.dense(self.norm(self.pool(tokens)))


class PooledClassifier(TokenPooling):
    """Dropout and linear layer, without a norm; with pooling "mean" on the clip embedding that the encoder gives.

    For families whose `pooler_output` is what published classifiers see, and whose configuration has a
    `classifier_dropout`. Their model calls it in `classify`.
    """

    def __init__(self, config: AudioEncoderConfig):
        super().__init__(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.dense = nn.Linear(config.hidden_size, cast(int, config.num_labels))

    def forward(self, tokens: Tokens, pooler_output: torch.Tensor) -> torch.Tensor:
        """(B, C) logits, given also the clip embeddings (B, D)."""
        pooled = pooler_output if self.config.pooling == "mean" else self.pool(tokens)
        return self.dense(self.dropout(pooled))


class FrameClassifier(nn.Module):
    """Norm and linear layer: the embedding of every time step to its logits."""

    def __init__(self, config: AudioEncoderConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.classifier_norm_eps)
        self.dense = nn.Linear(config.hidden_size, cast(int, config.num_labels))

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        """(B, S, D) -> (B, S, C)."""
        return self.dense(self.norm(steps))


class WithHead(ModelMixin):
    """An encoder and a head on it.

    Attributes:
        encoder_class: the family's model.
        head_name, head_class: the head, and the attribute that it is.
    """

    encoder_class: type[AudioPreTrainedModel]
    head_name: str
    head_class: type[nn.Module]

    def __init__(self, config: AudioEncoderConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        setattr(self, self.base_model_prefix, self.encoder_class(config))
        setattr(self, self.head_name, self.head_class(config))
        self.post_init()


class ForAudioClassification(WithHead):
    """Encoder and classifier of clips, for `class X...(ForAudioClassification, XPreTrainedModel)`."""

    head_name, head_class = "classifier", ClipClassifier
    classifier: ClipClassifier

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        r"""
        Args:
            input_values: (B, T, F) what the encoder takes.
            attention_mask: (B, T), 1 = real frame. The published SSLAM, EAT and SSAST were trained and evaluated
                without, so that padding is heard.
            labels: (B,) class indices, or (B, C) float targets with
                `config.problem_type = "multi_label_classification"`.

        Returns:
            `SequenceClassifierOutput` with logits (B, C).
        """
        encoder = cast(AudioEncoder, self.base_model)
        encoded = encoder(input_values, attention_mask=attention_mask, **kwargs)
        logits = self.classify(encoded)
        loss = None if labels is None else self.loss_function(labels, logits, self.config, **kwargs)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )

    def classify(self, encoded: AudioEncoderOutput) -> torch.Tensor:
        """(B, C) logits of what the encoder gave; a family whose head sees more than its tokens says so here."""
        return self.classifier(cast(AudioEncoder, self.base_model).tokens(encoded))


class ForAudioFrameClassification(WithHead):
    """Encoder and classifier of time steps, for `class X...(ForAudioFrameClassification, XPreTrainedModel)`."""

    head_name, head_class = "frame_classifier", FrameClassifier
    frame_classifier: FrameClassifier

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        r"""
        Args:
            input_values: (B, T, F) what the encoder takes.
            attention_mask: (B, T), 1 = real frame.
            labels: (B, S) class indices of the steps, -100 = ignored, or (B, S, C) float targets for several classes
                at a time. Padded steps never enter the loss.

        Returns:
            `TokenClassifierOutput` with logits (B, S, C). Where a step lies in time, `step_intervals` says.
        """
        encoder = cast(AudioEncoder, self.base_model)
        encoded = encoder(input_values, attention_mask=attention_mask, **kwargs)
        bands, is_real = over_time(encoder.tokens(encoded), self.config.num_frequency_patches)
        logits = self.frame_classifier(bands.mean(dim=2))
        loss = None if labels is None else frame_loss(logits, labels, is_real)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


def frame_loss(logits: torch.Tensor, labels: torch.Tensor, is_real: torch.Tensor | None) -> torch.Tensor:
    """Mean loss over real steps: cross-entropy for integer labels, binary cross-entropy for float targets.

    Args:
        logits: (B, S, C).
        labels: (B, S) integer with -100 = ignored, or (B, S, C) float.
        is_real: (B, S) bool, or None.
    Raises:
        ValueError: `labels` does not fit `logits`.
    """
    expected = logits.shape if labels.is_floating_point() else logits.shape[:2]
    if labels.shape != expected:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)}, but the logits are {tuple(logits.shape)}: give one class index "
            "(int) or one row of targets (float) for every time step"
        )
    if is_real is not None:
        logits, labels = logits[is_real], labels[is_real]
    if labels.is_floating_point():
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return nn.functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten())
