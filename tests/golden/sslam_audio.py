"""Cases of the SSLAM front end: waveform to normalised log-mel, with and without the fine-tuning augmentations."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import torch

from modeling_sslam.audio_resampling import resample
from modeling_sslam.feature_extraction_kaldi_fbank import KaldiFbankFeatureExtractor
from tests.golden.registry import Check, Tensors, case, close, exact
from training.data.augment import add_noise_and_roll, roll_and_scale

MAX_TOLERANCE = 3e-4
MEAN_TOLERANCE = 5e-6
RESAMPLED_TOLERANCE = 1e-6


def extractor(config: dict, **changes: float | int) -> KaldiFbankFeatureExtractor:
    """The extractor that a case's `config.json` describes."""
    arguments = {
        "mean": config["norm_mean"],
        "std": config["norm_std"],
        "target_length": config["target_length"],
        "sampling_rate": config.get("target_rate", 16000),
        "num_mel_bins": config.get("num_mel_bins", 128),
        "frame_length_ms": config.get("frame_length_ms", 25),
        "frame_shift_ms": config.get("frame_shift_ms", 10),
    }
    return KaldiFbankFeatureExtractor(**{**arguments, **changes})


def recorded_waveform(tensors: Tensors) -> torch.Tensor:
    return tensors["waveform_int16"].float() / 32768


@case("sslam/fbank")
def fbank(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    waveform = recorded_waveform(tensors)
    rate = config["sample_rate_in"]
    features = extractor(config)(waveform, sampling_rate=rate, return_tensors="pt")["input_values"]
    yield close("fbank maximum", features, tensors["fbank"], atol=MAX_TOLERANCE)
    yield Check("fbank mean", (features - tensors["fbank"]).abs().mean().item(), MEAN_TOLERANCE)

    # Mean 0 and standard deviation 1/2 leave the log-mels as they are.
    unnormalised = extractor(config, mean=0.0, std=0.5)
    raw = unnormalised(waveform, sampling_rate=rate, padding="longest", truncation=False, return_tensors="pt")
    raw = raw["input_values"][0]
    yield exact("raw frames", len(raw), int(tensors["raw_frames"]))
    for name, want in tensors.items():
        if match := re.fullmatch(r"raw_fbank_row(\d+)", name):
            row = raw[min(int(match[1]), len(raw) - 1)]
            yield close(name, row, want, atol=MAX_TOLERANCE * 2 * config["norm_std"])

    resampled = resample(waveform, rate, unnormalised.sampling_rate)
    head, middle = tensors["resampled_head"], tensors["resampled_mid"]
    start = len(resampled) // 2
    yield close("resampled head", resampled[: len(head)], head, atol=RESAMPLED_TOLERANCE)
    yield close("resampled middle", resampled[start : start + len(middle)], middle, atol=RESAMPLED_TOLERANCE)
    yield close("resampled mean", resampled.mean(0, keepdim=True), tensors["resampled_mean"], atol=RESAMPLED_TOLERANCE)


@case("sslam/fbank_train_augment")
def fbank_train_augment(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    waveform = recorded_waveform(tensors)
    waveform = roll_and_scale(waveform - waveform.mean(), int(tensors["roll_shift"]), float(tensors["magnitude"]))
    features_of = extractor({"num_mel_bins": tensors["fbank"].shape[-1]} | config)
    features = features_of(waveform, sampling_rate=features_of.sampling_rate, return_tensors="pt")["input_values"]
    augmented = add_noise_and_roll(
        features, tensors["noise_uniform"], float(tensors["noise_amplitude"]), int(tensors["frame_roll"])
    )
    yield close("fbank", augmented, tensors["fbank"], atol=MAX_TOLERANCE)
