"""Golden cases of the official checkpoint layouts, of the hub repositories, and of features of released weights."""

from __future__ import annotations

import json
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForAudioClassification

from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamForPreTraining, SslamModel
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.sslam_layouts import official_to_ours, ours_to_official_hub

from .registry import Check, Tensors, case, close, exact

NUM_AUDIOSET_LABELS = 527


def on_meta(shapes: dict[str, list[int]]) -> Tensors:
    """Weights of the recorded names and shapes, without memory."""
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(weights: Tensors) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in weights.items()}


def base_model(model_class: type, **overrides) -> torch.nn.Module:
    with torch.device("meta"):
        return model_class(SslamConfig.base(**overrides))


@case("sslam/checkpoint_layout")
def checkpoint_layout(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    models = {
        "fairseq_pretrain": (base_model(SslamForPreTraining), "sslam."),
        "fairseq_pretrain_ema": (base_model(SslamModel), ""),
        "fairseq_finetuned": (base_model(SslamForAudioClassification, num_labels=NUM_AUDIOSET_LABELS), "sslam."),
        "hub_pretrain": (base_model(SslamModel), ""),
        "hub_finetuned": (base_model(SslamForAudioClassification, num_labels=NUM_AUDIOSET_LABELS), "sslam."),
    }
    for layout, (model, prefix) in models.items():
        ours = official_to_ours(on_meta(config[layout]), prefix=prefix)
        yield exact(f"{layout}: names and shapes of ours", shapes_of(ours), shapes_of(model.state_dict()))
    for layout, variant in (("hub_pretrain", "pretrain"), ("hub_finetuned", "finetune")):
        hub = ours_to_official_hub(models[layout][0].state_dict(), variant)
        yield exact(f"{layout}: names and shapes of the hub", shapes_of(hub), config[layout])
    for layout, count in zip(("fairseq_pretrain", "hub_pretrain", "hub_finetuned"), tensors["counts"], strict=True):
        ours = sum(tensor.numel() for tensor in models[layout][0].state_dict().values())
        yield exact(f"{layout}: elements", ours, int(count))
        yield exact(f"{layout}: recorded elements", sum(math.prod(shape) for shape in config[layout].values()), ours)


@case("sslam/hub_layout")
def hub_layout(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    """The case as a hub repository on disk, loaded by name of the Auto classes."""
    with tempfile.TemporaryDirectory() as folder:
        repository = pathlib.Path(folder)
        auto_map = {"AutoConfig": "configuration_eat.EATConfig", "AutoModel": "modeling_eat.EATModel"}
        (repository / "config.json").write_text(json.dumps(config | {"auto_map": auto_map}))
        shutil.copy(path / "weights.safetensors", repository / "model.safetensors")
        encoder = AutoModel.from_pretrained(repository).eval()
        classifier = AutoModelForAudioClassification.from_pretrained(repository).eval()
    input_values = tensors["source"].squeeze(1)
    with torch.no_grad():
        features = encoder(input_values).last_hidden_state
        yield close("features", features, tensors["features"], atol=2e-5)
        yield close("logits", classifier(input_values).logits, tensors["logits"], atol=2e-5)
    weights = load_file(path / "weights.safetensors")
    back = ours_to_official_hub(classifier.state_dict(), "finetune")
    yield exact("names, back in the hub layout", set(back), set(weights))
    equal = all(torch.equal(back[name], tensor) for name, tensor in weights.items())
    yield exact("weights, back in the hub layout", equal, True)
    key_map = json.loads((path / "key_map.json").read_text())
    from_fairseq = ours_to_official_hub(official_to_ours(on_meta(dict.fromkeys(key_map, [0]))), "finetune")
    yield exact("fairseq names to hub names", list(from_fairseq), list(key_map.values()))


@case("sslam/released_checkpoint_features")
def released_checkpoint_features(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    """The released weights are not here, so only shapes and places of the recorded tokens can be checked.

    Who has them names their folder in SSLAM_RELEASED_CHECKPOINTS: `eat` (EAT-base epoch 30, fine-tuned on AudioSet-2M)
    and `sslam` (SSLAM pretrained), each a file or folder that `load_official` reads. Then the features are compared.
    """
    released = os.environ.get("SSLAM_RELEASED_CHECKPOINTS")
    # EAT's rows count the class token, SSLAM's do not.
    for name, first_patch in (("eat", 0), ("sslam", 1)):
        index, recorded = tensors[f"{name}_token_index"], tensors[f"{name}_features"]
        yield exact(f"{name}: one row an index", recorded.shape[0], len(index))
        yield exact(f"{name}: width", recorded.shape[1], SslamConfig.base().hidden_size)
        yield exact(f"{name}: finite", bool(recorded.isfinite().all()), True)
        num_tokens = base_tokens() - first_patch
        yield exact(f"{name}: rows are tokens of 1024 frames", bool(((index >= 0) & (index < num_tokens)).all()), True)
        if released is not None:
            features = released_features(pathlib.Path(released) / name, path)[first_patch:]
            yield close(f"{name}: features", features[index], recorded, atol=2e-2)
            mean_std = torch.stack([features.mean(), features.std()])
            yield close(f"{name}: mean and deviation", mean_std, tensors[f"{name}_mean_std"], atol=2e-2)


def base_tokens(num_frames: int = 1024) -> int:
    """Tokens that the base model gives for a clip of AudioSet's length."""
    model = base_model(SslamModel)
    spectrogram = torch.empty(1, num_frames, model.config.num_mel_bins, device="meta")
    return model(spectrogram).last_hidden_state.shape[1]


def released_features(checkpoint: pathlib.Path, case_path: pathlib.Path) -> torch.Tensor:
    """(1 + L, D) tokens of the recording whose spectrogram is the neighbouring case `fbank_feature_wav`."""
    model = load_official(checkpoint).build()
    spectrogram = load_file(case_path.parent / "fbank_feature_wav" / "io.safetensors")["fbank"]
    with torch.no_grad():
        return model.base_model.eval()(spectrogram.reshape(1, -1, model.config.num_mel_bins)).last_hidden_state[0]
