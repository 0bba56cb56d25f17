"""HEAR embeddings of the families whose references have a protocol for them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import torch

from modeling_sslam import MwmaeForPreTraining, PowerMelFeatureExtractor
from modeling_sslam.configuration_masked_patch import MaskedPatchConfig
from modeling_sslam.hear.embeddings import HearModel, get_scene_embeddings, get_timestamp_embeddings

from .axlstm import axlstm_config
from .masked_patch_encoder import build, load_weights, rule_sum_check
from .mwmae import load_weights as load_mwmae_weights
from .mwmae import mwmae_config
from .registry import Check, Tensors, case, close
from .ssam import ssam_config
from .ssast_mae import ssast_mae_config


def embedding_checks(
    model: HearModel,
    name: str,
    audio: torch.Tensor,
    rate: int | None,
    want: dict[str, torch.Tensor],
    atol: float,
    rtol: float,
) -> Iterator[Check]:
    """One batch of clips (B, N) against its recorded `timestamp_embeddings`, `timestamps_ms` and `scene`.

    Args:
        rate: samples per second, where the case says it; else those that the model expects.
    """
    embeddings, timestamps = get_timestamp_embeddings(audio, model, rate)
    yield close(f"{name} timestamp embeddings", embeddings, want["timestamp_embeddings"], atol, rtol)
    yield close(f"{name} timestamps", timestamps, want["timestamps_ms"], atol, rtol)
    yield close(f"{name} scene", get_scene_embeddings(audio, model, rate), want["scene"], atol, rtol)


def masked_patch_hear(
    config_of: Callable[[dict], MaskedPatchConfig], atol: float, rtol: float
) -> Callable[[pathlib.Path, dict, Tensors], Iterator[Check]]:
    """The handler of SSAM, AxLSTM or their baseline, given what makes its configuration of a case."""

    def handler(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
        encoder = build(config_of(config))
        yield from rule_sum_check(load_weights(path, encoder), tensors)
        rate = config.get("sample_rate")
        model = HearModel(encoder.base_model, PowerMelFeatureExtractor(num_mel_bins=encoder.config.num_mel_bins))
        for number in range(len(config["clip_samples"])):
            clip = f"clip{number}"
            audio = tensors[f"{clip}_audio"]
            logmel = tensors[f"{clip}_logmel"][:, 0]
            got = torch.stack([model.spectrogram(samples, rate) for samples in audio])
            yield close(f"{clip} log-mel", got, logmel, atol, rtol)
            want = {name: tensors[f"{clip}_{name}"] for name in ("timestamp_embeddings", "timestamps_ms")}
            want["scene"] = tensors[f"{clip}_scene_embedding"]
            yield from embedding_checks(model, clip, audio, rate, want, atol, rtol)

    return handler


case("ssast_mae/hear")(masked_patch_hear(ssast_mae_config, atol=2e-5, rtol=1e-4))
case("axlstm/hear")(masked_patch_hear(axlstm_config, atol=1e-4, rtol=1e-3))
case("ssam/hear")(masked_patch_hear(ssam_config, atol=2e-5, rtol=1e-4))


@case("mwmae/hear")
def mwmae_hear(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    encoder = MwmaeForPreTraining(mwmae_config(config))
    load_mwmae_weights(path, encoder)
    rate = config.get("sample_rate")
    model = HearModel(encoder.base_model, PowerMelFeatureExtractor(num_mel_bins=encoder.config.num_mel_bins))
    for number in range(len(config["clips"])):
        clip = f"c{number}"
        want = {
            name.removeprefix(f"{clip}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{clip}/")
        }
        if "standardised" in want:
            got = torch.stack([model.spectrogram(samples, rate) for samples in want["wav"]])
            yield close(f"{clip} log-mel", got, want["standardised"].squeeze(3), atol=1e-3)
        yield from embedding_checks(model, clip, want["wav"], rate, want, atol=1e-4, rtol=1e-3)
