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
from transformers import AutoModel, AutoModelForAudioClassification, PreTrainedModel

from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamForPreTraining, SslamModel
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.sslam import infer_config
from modeling_sslam.official.sslam_layouts import official_to_ours, ours_to_official_hub

from .inputs import input_of, text_of
from .readme import stated
from .registry import Check, Tensors, case, close, exact


def on_meta(shapes: dict[str, list[int]]) -> Tensors:
    """Weights of the recorded names and shapes, without memory."""
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(weights: Tensors) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in weights.items()}


def on_meta_model(model_class: type[PreTrainedModel], config: SslamConfig) -> PreTrainedModel:
    with torch.device("meta"):
        return model_class(config)


@case("sslam/checkpoint_layout")
def checkpoint_layout(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    pretrained = infer_config(official_to_ours(on_meta(config["fairseq_pretrain"])), {}, num_attention_heads=1)
    finetuned = infer_config(official_to_ours(on_meta(config["fairseq_finetuned"])), {}, num_attention_heads=1)
    models = {
        "fairseq_pretrain": (on_meta_model(SslamForPreTraining, pretrained), "sslam."),
        "fairseq_pretrain_ema": (on_meta_model(SslamModel, pretrained), ""),
        "fairseq_finetuned": (on_meta_model(SslamForAudioClassification, finetuned), "sslam."),
        "hub_pretrain": (on_meta_model(SslamModel, pretrained), ""),
        "hub_finetuned": (on_meta_model(SslamForAudioClassification, finetuned), "sslam."),
    }
    for layout, (model, prefix) in models.items():
        ours = official_to_ours(on_meta(config[layout]), prefix=prefix)
        yield exact(f"{layout}: names and shapes of ours", shapes_of(ours), shapes_of(model.state_dict()))
    for layout, variant in (("hub_pretrain", "pretrain"), ("hub_finetuned", "finetune")):
        hub = ours_to_official_hub(models[layout][0].state_dict(), variant)
        yield exact(f"{layout}: names and shapes of the hub", shapes_of(hub), config[layout])
    # "in the order fairseq_pretrain, hub_pretrain, hub_finetuned"
    order = stated(text_of(path), r"in the order (\w+(?:,\s*\w+)*)")[1]
    for layout, count in zip(order.replace(",", " ").split(), tensors["counts"], strict=True):
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
    variant = config["model_variant"]
    back = ours_to_official_hub(classifier.state_dict(), variant)
    yield exact("names, back in the hub layout", set(back), set(weights))
    equal = all(torch.equal(back[name], tensor) for name, tensor in weights.items())
    yield exact("weights, back in the hub layout", equal, True)
    key_map = json.loads((path / "key_map.json").read_text())
    from_fairseq = ours_to_official_hub(official_to_ours(on_meta(dict.fromkeys(key_map, [0]))), variant)
    yield exact("fairseq names to hub names", list(from_fairseq), list(key_map.values()))


@case("sslam/released_checkpoint_features")
def released_checkpoint_features(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    """The released weights are not here, so only shapes and places of the recorded tokens can be checked.

    Who has them names their folder in SSLAM_RELEASED_CHECKPOINTS: `eat` (EAT-base epoch 30, fine-tuned on AudioSet-2M)
    and `sslam` (SSLAM pretrained), each a file or folder that `load_official` reads. Then the features are compared.
    """
    released, text = os.environ.get("SSLAM_RELEASED_CHECKPOINTS"), text_of(path)
    clip = input_of(path, tensors, ())
    for name in sorted(name.removesuffix("_features") for name in tensors if name.endswith("_features")):
        index, recorded = tensors[f"{name}_token_index"], tensors[f"{name}_features"]
        # "rows `eat_token_index` of a (513,768) array: class token first", or "patches only"
        array = rf"`{name}_token_index` of a \((\d+),\s*(\d+)\) array: (class token first|patches only)"
        rows, width, first = stated(text, array).groups()
        first_patch = int(first == "patches only")
        yield exact(f"{name}: one row an index", recorded.shape[0], len(index))
        yield exact(f"{name}: width", [recorded.shape[1], int(width)], [SslamConfig.base().hidden_size] * 2)
        yield exact(f"{name}: finite", bool(recorded.isfinite().all()), True)
        num_tokens = base_tokens(clip) - first_patch
        yield exact(f"{name}: rows of the array", int(rows), num_tokens)
        yield exact(f"{name}: rows are tokens of the clip", bool(((index >= 0) & (index < num_tokens)).all()), True)
        if released is not None:
            features = released_features(pathlib.Path(released) / name, clip)[first_patch:]
            yield close(f"{name}: features", features[index], recorded, atol=2e-2)
            mean_std = torch.stack([features.mean(), features.std()])
            yield close(f"{name}: mean and deviation", mean_std, tensors[f"{name}_mean_std"], atol=2e-2)


def base_tokens(clip: torch.Tensor) -> int:
    """Tokens that the base model gives for a clip (1, T, F)."""
    model = on_meta_model(SslamModel, SslamConfig.base())
    return model(clip.to("meta")).last_hidden_state.shape[1]


@torch.no_grad()
def released_features(checkpoint: pathlib.Path, clip: torch.Tensor) -> torch.Tensor:
    """(1 + L, D) tokens of the recording."""
    model = load_official(checkpoint).build()
    return model.base_model.eval()(clip).last_hidden_state[0]
