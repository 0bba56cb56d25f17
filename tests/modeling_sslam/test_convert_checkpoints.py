"""Official layouts to ours and back, and pickles that must not be opened."""

import argparse
import collections
import json
import os
import subprocess
import sys
import types

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, AutoModelForPreTraining

from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamForPreTraining, SslamModel
from modeling_sslam.audioset_labels import AUDIOSET_LABELS
from modeling_sslam.configuration_eat import to_hub_config
from modeling_sslam.convert_checkpoints import convert_to_hub, convert_to_ours
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.restricted_pickle import InertObject, load_restricted
from modeling_sslam.official.sslam_layouts import official_to_ours, ours_to_official_hub, split_teacher

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


@pytest.fixture(scope="module")
def student() -> SslamForPreTraining:
    torch.manual_seed(0)
    return SslamForPreTraining(SslamConfig(**SIZES)).eval()


@pytest.fixture(scope="module")
def teacher() -> SslamModel:
    torch.manual_seed(1)
    return SslamModel(SslamConfig(**SIZES)).eval()


@pytest.fixture(scope="module")
def classifier() -> SslamForAudioClassification:
    torch.manual_seed(2)
    return SslamForAudioClassification(SslamConfig(**SIZES, num_labels=527)).eval()


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


@pytest.mark.parametrize("nested", [True, False], ids=["nested _ema", "flat _ema"])
def test_fairseq_pretrained(student, teacher, nested, tmp_path):
    content = {"args": None, "cfg": PLAIN_CFG, "model": pretrained_weights(student, teacher, nested)}
    torch.save(content, tmp_path / "checkpoint_last.pt")
    official = load_official(tmp_path)
    assert {name: getattr(official.config, name) for name in SIZES} == SIZES
    assert same(official.weights, student.state_dict())
    assert same(official.teacher, teacher.state_dict())


def test_fairseq_pretrained_becomes_a_folder(student, teacher, tmp_path):
    source, target = tmp_path / "checkpoint.pt", tmp_path / "ours"
    torch.save({"cfg": PLAIN_CFG, "model": pretrained_weights(student, teacher, nested=True)}, source)
    convert_to_ours(source, target)
    model = AutoModelForPreTraining.from_pretrained(target)
    assert same(model.state_dict(), student.state_dict())
    assert same(load_file(target / "teacher.safetensors"), teacher.state_dict())
    extractor = AutoFeatureExtractor.from_pretrained(target)
    assert (extractor.mean, extractor.std, extractor.target_length) == (-4.268, 4.569, 1024)


def test_fairseq_finetuned(classifier, tmp_path):
    cfg = {"model": {"_name": "mae_image_classification", "pretrained_model_args": PLAIN_CFG}}
    torch.save({"cfg": cfg, "model": finetuned_weights(classifier)}, tmp_path / "checkpoint_best.pt")
    convert_to_ours(tmp_path / "checkpoint_best.pt", tmp_path / "ours")
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "ours").eval()
    assert model.norm.eps == 1e-6
    assert [model.config.id2label[index] for index in range(527)] == list(AUDIOSET_LABELS)
    assert model.config.problem_type == "multi_label_classification"
    inputs = torch.randn(2, 64, 128)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs).logits, classifier(inputs).logits, rtol=0, atol=0)


def test_hub_finetuned_and_back(classifier, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", classifier, "finetune")
    convert_to_ours(hub, tmp_path / "ours")
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "ours")
    assert model.norm.eps == 1e-5
    assert same(model.state_dict(), classifier.state_dict())
    convert_to_hub(tmp_path / "ours", tmp_path / "back")
    assert same(load_file(tmp_path / "back" / "model.safetensors"), load_file(hub / "model.safetensors"))
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (hub, tmp_path / "back"))
    assert {name: after[name] for name in before} == before
    assert after["id2label"]["525"] == "Radio"


def test_labels_of_our_own_survive_the_hub_layout(tmp_path):
    labels = {0: "rain", 1: "dog", 2: "clock"}
    names = {"id2label": labels, "label2id": {label: index for index, label in labels.items()}}
    config = SslamConfig(**SIZES, **names, problem_type="single_label_classification")
    SslamForAudioClassification(config).save_pretrained(tmp_path / "ours")
    convert_to_hub(tmp_path / "ours", tmp_path / "hub")
    config = load_official(tmp_path / "hub").config
    assert (config.id2label, config.problem_type) == (labels, "single_label_classification")
    assert config.classifier_norm_eps == 1e-6  # not the hub's: written into its configuration
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "hub")
    assert (model.config.id2label, model.norm.eps) == (labels, 1e-6)


def test_hub_pretrained_and_back(teacher, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", teacher, "pretrain")
    official = load_official(hub / "model.safetensors")
    assert official.config.num_attention_heads == 3
    assert same(official.weights, teacher.state_dict())
    assert official.teacher is None
    convert_to_ours(hub, tmp_path / "ours")
    assert same(SslamModel.from_pretrained(tmp_path / "ours").state_dict(), teacher.state_dict())
    convert_to_hub(tmp_path / "ours", tmp_path / "back")
    assert same(load_file(tmp_path / "back" / "model.safetensors"), load_file(hub / "model.safetensors"))


def test_converted_folder_goes_to_the_hub_without_decoder(student, teacher, tmp_path):
    torch.save({"cfg": PLAIN_CFG, "model": pretrained_weights(student, teacher, nested=True)}, tmp_path / "last.pt")
    convert_to_ours(tmp_path / "last.pt", tmp_path / "ours")
    convert_to_hub(tmp_path / "ours", tmp_path / "hub")
    want = ours_to_official_hub(student.sslam.state_dict(), "pretrain")
    assert same(load_file(tmp_path / "hub" / "model.safetensors"), want)


def test_command_line(classifier, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", classifier, "finetune")
    command = [sys.executable, "-m", "modeling_sslam.convert_checkpoints", str(hub), str(tmp_path / "ours")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "wrote SslamForAudioClassification" in done.stderr


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (1024, 16)])
def test_published_widths_tell_the_heads(width, heads, tmp_path):
    sizes = SIZES | {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": 1}
    model = SslamModel(SslamConfig(**sizes))
    save_file(ours_to_official_hub(model.state_dict(), "pretrain"), tmp_path / "model.safetensors")
    assert load_official(tmp_path).config.num_attention_heads == heads


def test_unknown_width_needs_the_heads(teacher, tmp_path):
    save_file(ours_to_official_hub(teacher.state_dict(), "pretrain"), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="attention heads of width 48: pass num_attention_heads"):
        load_official(tmp_path)
    assert load_official(tmp_path, num_attention_heads=3).config.num_attention_heads == 3


def test_missing_names_are_listed(student, teacher, tmp_path):
    weights = pretrained_weights(student, teacher, nested=True)
    del weights["blocks.1.norm2.bias"], weights["modality_encoders.IMAGE.decoder.proj.weight"]
    torch.save({"cfg": PLAIN_CFG, "model": weights}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"layers\.1\.norm2\.bias is missing; decoder\.projection\.weight is missing"):
        load_official(tmp_path / "a.pt")


def test_unknown_names_are_listed(classifier, tmp_path):
    weights = finetuned_weights(classifier) | {"model.relative_bias": torch.ones(1), "model.gamma": torch.ones(1)}
    torch.save({"cfg": PLAIN_CFG, "model": weights}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"2 parameter names .*: gamma, relative_bias"):
        load_official(tmp_path / "a.pt")


def test_wrong_shapes_are_listed(classifier, tmp_path):
    weights = finetuned_weights(classifier) | {"model.blocks.1.mlp.fc1.weight": torch.ones(7, 48)}
    torch.save({"cfg": PLAIN_CFG, "model": weights}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"layers\.1\.mlp\.fc1\.weight is \(7, 48\) instead of \(96, 48\)"):
        load_official(tmp_path / "a.pt", num_attention_heads=3)


@pytest.mark.parametrize(
    ("names", "looks_like"),
    [
        (["sslam.layers.0.norm1.weight"], "a checkpoint of this package"),
        (["audio_spectrogram_transformer.layernorm.bias"], "an Audio Spectrogram Transformer"),
        (["conv1.weight", "fc.bias"], "it holds conv1.weight, fc.bias"),
    ],
)
def test_another_layout_is_named(names, looks_like, tmp_path):
    torch.save({name: torch.ones(1) for name in names}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=f"not one of the official layouts: .*{looks_like}"):
        load_official(tmp_path / "a.pt")


def test_a_folder_of_several_files_is_ambiguous(tmp_path):
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        torch.save({}, tmp_path / name)
    with pytest.raises(ValueError, match="name one file"):
        load_official(tmp_path)


def test_only_folders_of_ours_go_to_the_hub(classifier, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", classifier, "finetune")
    with pytest.raises(ValueError, match="no saved SSLAM model: the model_type there is 'eat'"):
        convert_to_hub(hub, tmp_path / "again")


def test_pooled_patches_do_not_go_to_the_hub(tmp_path):
    SslamForAudioClassification(SslamConfig(**SIZES, pooling="mean")).save_pretrained(tmp_path / "ours")
    with pytest.raises(ValueError, match="pooling is 'mean': the hub's code classifies the class token only"):
        convert_to_hub(tmp_path / "ours", tmp_path / "hub")


def test_names_are_renamed_as_published():
    names = {
        "model.modality_encoders.IMAGE.context_encoder.norm.weight": "sslam.embeddings.norm.weight",
        "model.pre_norm.bias": "sslam.embeddings.norm.bias",
        "modality_encoders.IMAGE.extra_tokens": "sslam.embeddings.class_token",
        "blocks.11.attn.proj.bias": "sslam.layers.11.attention.out_proj.bias",
        "modality_encoders.IMAGE.decoder.blocks.3.0.weight": "decoder.layers.3.conv.weight",
        "model.fc_norm.weight": "norm.weight",
        "head.bias": "classifier.bias",
    }
    assert list(official_to_ours(dict.fromkeys(names, torch.ones(1)))) == list(names.values())


def test_hub_variant_is_checked(teacher):
    with pytest.raises(ValueError, match="variant must be 'pretrain' or 'finetune', got 'both'"):
        ours_to_official_hub(teacher.state_dict(), "both")


def test_split_without_teacher():
    assert split_teacher({"a": 1}) == ({"a": 1}, None)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "touch {marker}"),
        Call(eval, "open('{marker}', 'w')"),
        Call(subprocess.Popen, ["touch", "{marker}"]),
        Call(getattr, "text", "upper"),
        Call(torch.hub.load, "repository", "model"),
    ],
    ids=["os.system", "eval", "Popen", "getattr", "hub.load"],
)
def test_a_pickle_that_would_run_code_is_refused(call, zipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": call}, "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"evil.pt .*run.* code.*: refused"):
        load_restricted("evil.pt")
    assert os.listdir(tmp_path) == ["evil.pt"]


def test_classes_of_absent_packages_are_stubbed(tmp_path, monkeypatch):
    """Older fairseq files hold configuration objects; their weights load without fairseq, their code never runs."""
    package = types.ModuleType("fairseq_of_old")

    class FairseqConfig:
        def __init__(self):
            self.value = collections.OrderedDict(a=1)

        def __setstate__(self, state):
            raise AssertionError("ran")

    FairseqConfig.__module__, FairseqConfig.__qualname__ = "fairseq_of_old", "FairseqConfig"
    package.FairseqConfig = FairseqConfig
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "fairseq_of_old", package)
        content = {"cfg": FairseqConfig(), "args": argparse.Namespace(lr=1.0), "model": {"weight": torch.ones(2)}}
        torch.save(content, tmp_path / "old.pt")
    loaded = load_restricted(tmp_path / "old.pt")
    assert torch.equal(loaded["model"]["weight"], torch.ones(2))
    assert type(loaded["cfg"]) is InertObject
    assert type(loaded["args"]) is InertObject


def test_configuration_that_cannot_be_read_is_ignored(teacher, student, tmp_path):
    """A stubbed `cfg` tells no heads, so they must be given."""
    content = {"cfg": argparse.Namespace(model=1), "model": pretrained_weights(student, teacher, nested=True)}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="pass num_attention_heads"):
        load_official(tmp_path / "a.pt")
    assert load_official(tmp_path / "a.pt", num_attention_heads=3).config.num_attention_heads == 3


def test_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"hello")
    with pytest.raises(ValueError, match="no checkpoint that can be opened"):
        load_official(tmp_path / "a.pt")
