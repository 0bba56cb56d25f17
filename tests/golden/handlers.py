"""Imports every handler module, so that importing this one registers all case kinds."""

from . import (  # noqa: F401
    axlstm,
    hear,
    mwmae,
    power_mel_recipe,
    ssam,
    ssast_audio,
    ssast_finetune_run,
    ssast_mae,
    ssast_masks,
    ssast_model,
    ssast_objective,
    ssast_training,
    sslam_audio,
    sslam_checkpoints,
    sslam_finetune,
    sslam_model,
    sslam_objective,
    sslam_optim,
)
