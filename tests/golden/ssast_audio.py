"""SSAST's front end: spectrograms of its data sets and of SUPERB, waveform mixup, noise."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterator

import datasets
import soundfile
import torch

from modeling_sslam.audio_spectrogram import KaldiFbank
from modeling_sslam.feature_extraction_kaldi_fbank import NORMALIZATION_PRESETS, KaldiFbankFeatureExtractor
from training.data.augment import add_noise_and_roll, mix_waveforms
from training.data.labelled import LabelledClips, LabelledRows, RecordedClips

from .inputs import text_of
from .readme import stated
from .registry import Check, Tensors, case, close, exact

PRESETS = {"audioset": "ssast_audioset", "esc50": "ssast_esc50", "speechcommands": "ssast_speech_commands_v2"}
QUIET = -12.0  # log-mels below it are held less closely
NORMALISED, RAW, RAW_QUIET, MIXED = 1e-4, 2e-4, 1e-3, 1e-3
FLOOR = torch.finfo(torch.float32).eps


def extractor(config: dict, preset: str = "ssast_audioset", **changes) -> KaldiFbankFeatureExtractor:
    """The extractor of a preset with the sizes of a case."""
    sizes = {name: config[name] for name in ("num_mel_bins", "target_length")}
    return KaldiFbankFeatureExtractor.from_preset(preset, sampling_rate=config["sample_rate"], **(sizes | changes))


def features(extractor: KaldiFbankFeatureExtractor, waveform: torch.Tensor, **kwargs) -> torch.Tensor:
    """(T, F) of one clip."""
    return extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt", **kwargs)["input_values"][0]


@case("ssast/frontend")
def frontend(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    cut = {"target_length": config["target_length_cut"]}
    clip = tensors["waveform_1"]
    yield from _raw(config, clip, tensors["fbank_raw_1"])
    for name, (mean, std) in config["stats"].items():
        if name in PRESETS:
            preset = NORMALIZATION_PRESETS[PRESETS[name]]
            yield exact(f"statistics of {name}", [preset["mean"], preset["std"]], [mean, std])
        of_set = extractor(config, mean=mean, std=std), extractor(config, mean=mean, std=std, **cut)
        for kind, features_of in zip(("padded", "cut"), of_set, strict=True):
            if (want := tensors.get(f"normalised_{kind}_{name}")) is not None:
                yield close(f"{kind}, {name}", features(features_of, clip), want, atol=NORMALISED)
    superb = extractor(config, "superb_keywords"), extractor(config, "superb_keywords", **cut)
    yield close("superb, padded", features(superb[0], clip), tensors["superb_padded"], atol=NORMALISED)
    yield close("superb, cut", features(superb[1], clip), tensors["superb_cut"], atol=NORMALISED)
    yield from _mixup(config, tensors)
    yield from _noise(config, text_of(path), tensors)
    filters = KaldiFbank(config["sample_rate"], config["num_mel_bins"]).mel_filters
    yield close("mel filters", filters[:-1].T, tensors["mel_filters"], atol=2e-5)


def _raw(config: dict, clip: torch.Tensor, want: torch.Tensor) -> Iterator[Check]:
    """Log-mels as they are: mean 0 and standard deviation one half leave them so."""
    got = features(extractor(config, mean=0.0, std=0.5), clip, padding="longest", truncation=False)
    floor = want == torch.tensor(FLOOR).log()
    loud, quiet = want > QUIET, (want <= QUIET) & ~floor
    yield exact("frames", got.shape, want.shape)
    yield close("log-mels", got[loud], want[loud], atol=RAW)
    yield close("quiet log-mels", got[quiet], want[quiet], atol=RAW_QUIET)
    yield exact("floor", got[floor], want[floor])


def _mixup(config: dict, tensors: Tensors) -> Iterator[Check]:
    unnormalised = extractor(config, mean=0.0, std=0.5)
    for name, mixing_weight in config["mix_lambda"].items():
        mixed = mix_waveforms(tensors["waveform_1"], _second_waveform(name, tensors), mixing_weight)
        yield close(f"mixed, {name}", features(unnormalised, mixed), tensors[f"mix_{name}_fbank_padded"], atol=MIXED)

    clips = _labelled_clips(config, tensors)
    yield close("labels", clips.source.target(0), tensors["labels_1"], atol=1e-6)
    mixed, labels = clips.mixed(
        clips.clip(0), clips.clip(int(tensors["mixitem_other_index"])), config["mixitem_lambda"]
    )
    yield close("labels of a mixture", labels, tensors["mixitem_labels"], atol=1e-6)
    yield close("a mixture", clips.features(mixed)["input_values"], tensors["mixitem_x"], atol=MIXED)


def _second_waveform(name: str, tensors: Tensors) -> torch.Tensor:
    """The signal that is mixed with the first one in the mixture "shorter_second" or "longer_second"."""
    first, others = len(tensors["waveform_1"]), (waveform for key, waveform in tensors.items() if _is_other(key))
    is_wanted = {"shorter_second": lambda length: length < first, "longer_second": lambda length: length > first}[name]
    return next(waveform for waveform in others if is_wanted(len(waveform)))


def _is_other(name: str) -> bool:
    return name.startswith("waveform_") and name != "waveform_1"


def _labelled_clips(config: dict, tensors: Tensors) -> LabelledClips:
    """The recorded waveforms as a data set of files; their samples are whole numbers of 16 bits."""
    files = []
    for number in range(1, len(config["item_labels"]) + 1):
        file = io.BytesIO()
        soundfile.write(file, tensors[f"waveform_{number}"].numpy(), config["sample_rate"], format="wav")
        files.append({"bytes": file.getvalue(), "path": None})
    labelled = LabelledRows(datasets.Dataset.from_dict({"audio": files}), config["item_labels"])
    return LabelledClips(RecordedClips(labelled, config["labels"], "audio"), extractor(config))


def _noise(config: dict, text: str, tensors: Tensors) -> Iterator[Check]:
    # "the normalised, padded item (speechcommands stats)"
    mean, std = config["stats"][stated(text, r"\((\w+) stat")[1]]
    clean = features(extractor(config, mean=mean, std=std), tensors["waveform_1"])
    amplitude = float(tensors["noise_scale"]) / 10
    noisy = add_noise_and_roll(clean, tensors["noise_uniform"], amplitude, int(tensors["noise_roll"]))
    yield close("noise", noisy, tensors["noise_out"], atol=NORMALISED)
