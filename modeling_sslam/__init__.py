"""Self-supervised audio encoders for transformers. Importing it registers every family with the Auto classes."""

from .configuration_axlstm import AxlstmConfig
from .configuration_eat import EatConfig
from .configuration_mwmae import MwmaeConfig
from .configuration_ssam import SsamConfig
from .configuration_ssast import SsastConfig
from .configuration_ssast_mae import SsastMaeConfig
from .configuration_sslam import SslamConfig
from .feature_extraction_kaldi_fbank import SslamFeatureExtractor
from .feature_extraction_power_mel import PowerMelFeatureExtractor
from .modeling_axlstm import AxlstmForAudioClassification, AxlstmForPreTraining, AxlstmModel
from .modeling_eat import EatForAudioClassification, EatModel
from .modeling_mwmae import MwmaeForAudioClassification, MwmaeForPreTraining, MwmaeModel
from .modeling_ssam import SsamForAudioClassification, SsamForPreTraining, SsamModel
from .modeling_ssast import (
    SsastForAudioClassification,
    SsastForAudioFrameClassification,
    SsastForPreTraining,
    SsastModel,
)
from .modeling_ssast_mae import SsastMaeForAudioClassification, SsastMaeForPreTraining, SsastMaeModel
from .modeling_sslam import (
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
    SslamForPreTraining,
    SslamModel,
)
from .pipelines.audio_classification import SslamAudioClassificationPipeline
from .registration import register_family, register_pipeline

register_family(
    SslamConfig,
    [SslamModel, SslamForPreTraining, SslamForAudioClassification, SslamForAudioFrameClassification],
    SslamFeatureExtractor,
)
register_family(EatConfig, [EatModel, EatForAudioClassification], SslamFeatureExtractor)
register_family(
    AxlstmConfig,
    [AxlstmModel, AxlstmForPreTraining, AxlstmForAudioClassification],
    PowerMelFeatureExtractor,
)
register_family(
    SsastConfig,
    [SsastModel, SsastForPreTraining, SsastForAudioClassification, SsastForAudioFrameClassification],
    SslamFeatureExtractor,
)
register_family(
    SsastMaeConfig,
    [SsastMaeModel, SsastMaeForPreTraining, SsastMaeForAudioClassification],
    PowerMelFeatureExtractor,
)
register_family(
    MwmaeConfig,
    [MwmaeModel, MwmaeForPreTraining, MwmaeForAudioClassification],
    PowerMelFeatureExtractor,
)
register_family(SsamConfig, [SsamModel, SsamForPreTraining, SsamForAudioClassification], PowerMelFeatureExtractor)
register_pipeline("audio-tagging", SslamAudioClassificationPipeline)

__all__ = [
    "AxlstmConfig",
    "AxlstmForAudioClassification",
    "AxlstmForPreTraining",
    "AxlstmModel",
    "EatConfig",
    "EatForAudioClassification",
    "EatModel",
    "MwmaeConfig",
    "MwmaeForAudioClassification",
    "MwmaeForPreTraining",
    "MwmaeModel",
    "PowerMelFeatureExtractor",
    "SsamConfig",
    "SsamForAudioClassification",
    "SsamForPreTraining",
    "SsamModel",
    "SsastConfig",
    "SsastForAudioClassification",
    "SsastForAudioFrameClassification",
    "SsastForPreTraining",
    "SsastMaeConfig",
    "SsastMaeForAudioClassification",
    "SsastMaeForPreTraining",
    "SsastMaeModel",
    "SsastModel",
    "SslamAudioClassificationPipeline",
    "SslamConfig",
    "SslamFeatureExtractor",
    "SslamForAudioClassification",
    "SslamForAudioFrameClassification",
    "SslamForPreTraining",
    "SslamModel",
]
