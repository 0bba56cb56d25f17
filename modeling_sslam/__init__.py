"""Self-supervised audio encoders for transformers. Importing it registers every family with the Auto classes."""

from transformers import AutoModelForAudioClassification, AutoModelForAudioFrameClassification

from .audio_transformers import ignore_broken_torchaudio  # noqa: F401  (first: others import transformers' audio code)
from .configuration_axlstm import AxlstmConfig
from .configuration_eat import EatConfig
from .configuration_mwmae import MwmaeConfig
from .configuration_spectrogram_cnn import SpectrogramCnnConfig
from .configuration_ssam import SsamConfig
from .configuration_ssast import SsastConfig
from .configuration_ssast_mae import SsastMaeConfig
from .configuration_sslam import SslamConfig
from .feature_extraction_kaldi_fbank import KaldiFbankFeatureExtractor
from .feature_extraction_linear_spectrogram import LinearSpectrogramFeatureExtractor
from .feature_extraction_power_mel import PowerMelFeatureExtractor
from .feature_extraction_sslam import SslamFeatureExtractor
from .feature_extraction_waveform import WaveformFeatureExtractor
from .modeling_axlstm import (
    AxlstmForAudioClassification,
    AxlstmForAudioFrameClassification,
    AxlstmForPreTraining,
    AxlstmModel,
)
from .modeling_eat import EatForAudioClassification, EatForAudioFrameClassification, EatModel
from .modeling_mwmae import (
    MwmaeForAudioClassification,
    MwmaeForAudioFrameClassification,
    MwmaeForPreTraining,
    MwmaeModel,
)
from .modeling_spectrogram_cnn import (
    SpectrogramCnnForAudioClassification,
    SpectrogramCnnForAudioFrameClassification,
    SpectrogramCnnModel,
)
from .modeling_ssam import SsamForAudioClassification, SsamForAudioFrameClassification, SsamForPreTraining, SsamModel
from .modeling_ssast import (
    SsastForAudioClassification,
    SsastForAudioFrameClassification,
    SsastForPreTraining,
    SsastModel,
)
from .modeling_ssast_mae import (
    SsastMaeForAudioClassification,
    SsastMaeForAudioFrameClassification,
    SsastMaeForPreTraining,
    SsastMaeModel,
)
from .modeling_sslam import (
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
    SslamForPreTraining,
    SslamModel,
)
from .pipelines.audio_classification import SslamAudioClassificationPipeline
from .pipelines.frame_classification import AudioFrameClassificationPipeline
from .registration import register_family, register_pipeline

register_family(AxlstmConfig, PowerMelFeatureExtractor)
register_family(EatConfig, KaldiFbankFeatureExtractor)
register_family(MwmaeConfig, PowerMelFeatureExtractor)
register_family(SpectrogramCnnConfig, LinearSpectrogramFeatureExtractor)
register_family(SsamConfig, PowerMelFeatureExtractor)
register_family(SsastConfig, KaldiFbankFeatureExtractor)
register_family(SsastMaeConfig, PowerMelFeatureExtractor)
register_family(SslamConfig, KaldiFbankFeatureExtractor)
register_pipeline("audio-tagging", SslamAudioClassificationPipeline, AutoModelForAudioClassification)
register_pipeline("audio-frame-classification", AudioFrameClassificationPipeline, AutoModelForAudioFrameClassification)

__all__ = [
    "AudioFrameClassificationPipeline",
    "AxlstmConfig",
    "AxlstmForAudioClassification",
    "AxlstmForAudioFrameClassification",
    "AxlstmForPreTraining",
    "AxlstmModel",
    "EatConfig",
    "EatForAudioClassification",
    "EatForAudioFrameClassification",
    "EatModel",
    "KaldiFbankFeatureExtractor",
    "LinearSpectrogramFeatureExtractor",
    "MwmaeConfig",
    "MwmaeForAudioClassification",
    "MwmaeForAudioFrameClassification",
    "MwmaeForPreTraining",
    "MwmaeModel",
    "PowerMelFeatureExtractor",
    "SpectrogramCnnConfig",
    "SpectrogramCnnForAudioClassification",
    "SpectrogramCnnForAudioFrameClassification",
    "SpectrogramCnnModel",
    "SsamConfig",
    "SsamForAudioClassification",
    "SsamForAudioFrameClassification",
    "SsamForPreTraining",
    "SsamModel",
    "SsastConfig",
    "SsastForAudioClassification",
    "SsastForAudioFrameClassification",
    "SsastForPreTraining",
    "SsastMaeConfig",
    "SsastMaeForAudioClassification",
    "SsastMaeForAudioFrameClassification",
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
    "WaveformFeatureExtractor",
]
