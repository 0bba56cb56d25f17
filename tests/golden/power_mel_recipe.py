"""Cases of what SSAM shares with AxLSTM and the transformer baseline: front end, tokens, schedule, weight decay."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import torch

from modeling_sslam import AxlstmConfig, PowerMelFeatureExtractor, SsamConfig, SsastMaeConfig
from modeling_sslam.audio_spectrogram import ENERGY_FLOOR
from modeling_sslam.feature_extraction_power_mel import STANDARDIZATION_EPS, standardize
from modeling_sslam.hear.embeddings import group_tokens
from modeling_sslam.tokens_patches import patchify
from modeling_sslam.tokens_positions import time_frequency_table
from training.optim.schedules import learning_rate

from .masked_patch_encoder import group_checks
from .registry import Check, Tensors, case, check_options, close, exact

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
OPTIONS = {
    "power": 2.0,
    "window": "hann periodic",
    "center": True,
    "pad_mode": "reflect",
    "mel_scale": "htk",
    "mel_norm": None,
    "log_offset": ENERGY_FLOOR,
    "norm_eps": STANDARDIZATION_EPS,
}
QUIET_POWER = 1e-5  # below, the logarithm amplifies rounding


def extractor(config: dict, standardization: str) -> PowerMelFeatureExtractor:
    """The extractor that a case's `config.json` describes."""
    rate = config["sample_rate"]
    return PowerMelFeatureExtractor(
        sampling_rate=rate,
        num_mel_bins=config["n_mels"],
        frame_length_ms=1000 * config["win_length"] / rate,
        frame_shift_ms=1000 * config["hop_length"] / rate,
        fft_length=config["n_fft"],
        low_frequency=config["f_min"],
        high_frequency=config["f_max"],
        standardization=standardization,
    )


@case("ssam/frontend")
def frontend(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, **OPTIONS)
    rate, audio = config["sample_rate"], tensors["audio"]
    inference, training = extractor(config, "unbiased"), extractor(config, "population")
    mel = inference.front_end(audio.device)
    yield close("mel filters", mel.mel_filters, tensors["mel_filterbank"], **TOLERANCE)
    yield close("window", mel.window, tensors["window"], **TOLERANCE)
    log_mel = mel(audio[None])[0].T
    quiet = tensors["mel_power"] < QUIET_POWER
    yield close("quiet log-mels", log_mel[quiet], tensors["logmel"][quiet], atol=2e-3)
    yield close("other log-mels", log_mel[~quiet], tensors["logmel"][~quiet], atol=1e-4)

    features = inference(audio, rate, return_tensors="pt")["input_values"]
    yield close("inference", features[:, None], tensors["normalised"], **TOLERANCE)
    features = training(audio, rate, return_tensors="pt")["input_values"]
    crop = tensors["train_center_crop"]
    start = (features.shape[1] - crop.shape[1]) // 2
    yield close("training, centre crop", features[:, start : start + crop.shape[1]], crop, **TOLERANCE)

    # The routine was given (1, T, F) and repeats along its last axis, which is the time axis of what it is made for.
    short = tensors["train_tiled_short"]
    frames = tensors["logmel"].T[None, : short.shape[1]]
    frames = standardize(frames, torch.ones(frames.shape[:2]), training.standardization)
    yield close("training, short clip", frames.repeat(1, 1, short.shape[2] // frames.shape[2]), short, **TOLERANCE)


@case("ssam/pos_embed_patch_order")
def patch_order(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, in_chans=1, frequency_first=False)
    (frames, bins), (patch_frames, patch_bins) = config["img_size"], config["patch_size"]
    num_time, num_frequency = frames // patch_frames, bins // patch_bins
    table = time_frequency_table(num_time, num_frequency, config["embed_dim"])
    without_class = tensors["pos_embed"][0, int(config["use_cls_token"]) :]
    yield close("positions", table, without_class, atol=1e-6)
    yield exact("patches", patchify(tensors["image"].squeeze(1), (patch_frames, patch_bins)), tensors["patches"])
    tokens = torch.arange(num_time * num_frequency)[None, :, None]
    yield exact("grouping", group_tokens(tokens, num_frequency, "reference")[0], tensors["feature_token_index"])


@case("ssam/lr_schedule_param_groups")
def schedule_and_weight_decay(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    warmup, total = (config[epochs] * config["steps_per_epoch"] for epochs in ("warmup_epochs", "epochs"))
    constants = config["peak_lr"], warmup, total, config["min_lr"]
    rates = torch.tensor([learning_rate(step, *constants) for step in tensors["global_step"].tolist()]).double()
    yield close("learning rate", rates, tensors["lr"], rtol=1e-6)
    for config_class in (SsamConfig, SsastMaeConfig, AxlstmConfig):
        model_type = config_class.model_type
        for name, recorded in config.items():
            if match := re.fullmatch(rf"param_groups_{model_type}_(\d+)_blocks", name):
                yield from group_checks(config_class(num_hidden_layers=int(match[1])), config, recorded, model_type)
