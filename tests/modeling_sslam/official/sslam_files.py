"""Tiny SSLAM models in the layouts of their authors."""

import json

import torch
from safetensors.torch import save_file

from modeling_sslam import SslamForPreTraining
from modeling_sslam.configuration_eat import to_hub_config
from modeling_sslam.official.sslam_layouts import ours_to_official_hub

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "max_time_patches": 8,
    "decoder_hidden_size": 32,
    "decoder_num_layers": 2,
    "decoder_kernel_size": 5,
    "decoder_groups": 16,
}
PLAIN_CFG = {"model": {"_name": "data2vec_multi", "num_heads": 3}}


def hub_to_fairseq(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of a pretraining checkpoint of fairseq, from names of the hub."""
    renamed = {}
    for name, tensor in weights.items():
        name = name.removeprefix("model.").replace("pre_norm", "context_encoder.norm")
        inside = not name.startswith(("blocks.", "fc_norm.", "head."))
        renamed[f"modality_encoders.IMAGE.{name}" if inside else name] = tensor
    return renamed


def fairseq_decoder(model: SslamForPreTraining) -> dict[str, torch.Tensor]:
    ours_to_theirs = {"decoder.projection": "decoder.proj", "decoder.layers": "decoder.blocks", ".conv.": ".0."}
    renamed = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("decoder."):
            for ours, theirs in ours_to_theirs.items():
                name = name.replace(ours, theirs)
            renamed[f"modality_encoders.IMAGE.{name}"] = tensor
    return renamed


def pretrained_weights(student, teacher, nested: bool) -> dict:
    """The `model` entry of a pretraining checkpoint of fairseq."""
    weights = hub_to_fairseq(ours_to_official_hub(student.state_dict(), "pretrain")) | fairseq_decoder(student)
    average = hub_to_fairseq(ours_to_official_hub(teacher.state_dict(), "pretrain"))
    return weights | ({"_ema": average} if nested else {f"_ema.{name}": value for name, value in average.items()})


def finetuned_weights(classifier) -> dict[str, torch.Tensor]:
    weights = hub_to_fairseq(ours_to_official_hub(classifier.state_dict(), "finetune"))
    return {f"model.{name}": tensor for name, tensor in weights.items()}


def write_hub_folder(folder, model, variant):
    folder.mkdir(exist_ok=True)
    save_file(ours_to_official_hub(model.state_dict(), variant), folder / "model.safetensors", {"format": "pt"})
    fields = to_hub_config(model.config, "pretrain")  # as the releases: no labels, no eps
    (folder / "config.json").write_text(json.dumps(fields | {"model_variant": variant}))
    return folder


def same(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> bool:
    return got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)
