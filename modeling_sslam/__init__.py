"""Self-supervised audio encoders for transformers. Importing this package registers every family with the Auto classes."""

from .configuration_sslam import SslamConfig
from .modeling_sslam import (
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
    SslamForPreTraining,
    SslamModel,
)

__all__ = [
    "SslamConfig",
    "SslamForAudioClassification",
    "SslamForAudioFrameClassification",
    "SslamForPreTraining",
    "SslamModel",
]
