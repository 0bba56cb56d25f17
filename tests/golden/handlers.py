"""Imports every handler module, so that importing this one registers all case kinds."""

from . import sslam_audio, sslam_checkpoints, sslam_model, sslam_objective, sslam_training  # noqa: F401
