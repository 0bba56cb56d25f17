"""Imports every handler module, so that importing this one registers all case kinds."""

from . import (  # noqa: F401
    axlstm,
    hear,
    mwmae,
    power_mel_recipe,
    ssam,
    ssast_mae,
    sslam_audio,
    sslam_checkpoints,
    sslam_finetune,
    sslam_model,
    sslam_objective,
    sslam_optim,
)
