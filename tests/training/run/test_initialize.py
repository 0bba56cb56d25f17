"""Starting a run from new weights, from ours and from official checkpoints."""

import logging

import pytest
import torch

from modeling_sslam import SsamConfig, SsastConfig, SslamConfig, SslamForAudioClassification, SslamForPreTraining
from modeling_sslam.convert_checkpoints import convert_to_hub
from modeling_sslam.official.sslam_layouts import ours_to_official_hub
from tests.pretraining import TINY
from training.run.initialize import build_feature_extractor, build_model
from training.settings.data import DataArguments, LabelledDataArguments
from training.settings.pretraining import ModelArguments


@pytest.fixture
def model() -> SslamForPreTraining:
    torch.manual_seed(0)
    return SslamForPreTraining(SslamConfig(**TINY["model"]))


def start(source, **options):
    return build_model(ModelArguments(init_from=str(source), options=options))


def same(got: dict, want: dict) -> bool:
    return got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)


def fairseq_names(weights: dict) -> dict:
    """Our weights under the names of a fairseq checkpoint."""
    encoder = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder.")}
    renamed = {}
    for hub_name, tensor in ours_to_official_hub(encoder, "pretrain").items():
        name = hub_name.removeprefix("model.").replace("pre_norm", "context_encoder.norm")
        renamed[name if name.startswith("blocks.") else f"modality_encoders.IMAGE.{name}"] = tensor
    for name in weights.keys() - encoder.keys():
        official = name.replace("layers.", "blocks.").replace(".conv.", ".0.").replace("projection", "proj")
        renamed[f"modality_encoders.IMAGE.{official}"] = weights[name]
    return renamed


def test_the_seed_decides_new_weights():
    torch.manual_seed(0)
    first, teacher = build_model(ModelArguments(options=TINY["model"]))
    torch.manual_seed(0)
    second, _ = build_model(ModelArguments(options=TINY["model"]))
    assert teacher is None
    assert same(first.state_dict(), second.state_dict())


def test_a_saved_model_has_no_teacher(model, tmp_path):
    model.save_pretrained(tmp_path)
    started, teacher = start(tmp_path, drop_path_rate=0.1)
    assert teacher is None
    assert started.config.drop_path_rate == 0.1
    assert same(started.state_dict(), model.state_dict())


def test_an_official_checkpoint_brings_its_teacher(model, tmp_path):
    teacher = {name: 2 * tensor for name, tensor in model.sslam.state_dict().items()}
    content = fairseq_names(model.state_dict()) | {"_ema": fairseq_names(teacher)}
    torch.save({"model": content, "cfg": {"model": {"num_heads": 2}}}, tmp_path / "checkpoint_last.pt")
    started, started_teacher = start(tmp_path / "checkpoint_last.pt")
    assert started.config.num_attention_heads == 2
    assert same(started.state_dict(), model.state_dict())
    assert same(started_teacher, teacher)


def test_a_hub_checkpoint_gets_a_new_decoder(model, tmp_path, caplog):
    model.save_pretrained(tmp_path / "ours")
    convert_to_hub(tmp_path / "ours", tmp_path / "hub")
    with caplog.at_level(logging.WARNING):
        started, teacher = start(tmp_path / "hub")
    assert teacher is None
    assert "has only the encoder; newly drawn: decoder." in caplog.text
    assert same(started.sslam.state_dict(), model.sslam.state_dict())
    assert not same(started.decoder.state_dict(), model.decoder.state_dict())


def test_a_classifier_cannot_be_pretrained(model, tmp_path):
    SslamForAudioClassification(SslamConfig(**TINY["model"], num_labels=3)).save_pretrained(tmp_path / "ours")
    convert_to_hub(tmp_path / "ours", tmp_path / "hub")
    with pytest.raises(ValueError, match="does not fit a model for pretraining: classifier.norm.bias, "):
        start(tmp_path / "hub")


def test_weights_that_are_not_there():
    with pytest.raises(ValueError, match="model.init_from is '/nowhere': there is no such file or folder"):
        start("/nowhere")


def test_unknown_family_and_field():
    with pytest.raises(ValueError, match="model.model_type is 'sslan', which no registered family has"):
        build_model(ModelArguments(model_type="sslan"))
    with pytest.raises(ValueError, match="unknown field of section model: width; known: hidden_size"):
        build_model(ModelArguments(options={"width": 3}))


def test_fields_that_a_configuration_inherits_are_known():
    options = {"hidden_size": 32, "num_hidden_layers": 1, "state_size": 4}
    model, _ = build_model(ModelArguments(model_type="ssam", options=options))
    assert (model.config.hidden_size, model.config.state_size) == (32, 4)


def test_options_replace_those_of_a_checkpoint_as_if_they_had_been_its_own(tmp_path):
    """The configuration sees them when it is made: lists of a recipe become tuples, and wrong values are refused."""
    frames = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    frames |= {"patch_size": [2, 128], "position_grid": [8, 1]}
    build_model(ModelArguments(model_type="ssast", options=frames))[0].save_pretrained(tmp_path)

    def again(**options):
        return build_model(ModelArguments(model_type="ssast", init_from=str(tmp_path), options=options))[0]

    assert again(patch_size=[2, 128], pooling="cls").config.patch_size == (2, 128)
    with pytest.raises(ValueError, match="pooling is 'last'"):
        again(pooling="last")


def test_an_extractor_with_statistics_has_those_of_the_recipe():
    data = DataArguments(normalization="ssast_esc50", std=3.0, target_length=77, crop="random")
    extractor = build_feature_extractor(data, SsastConfig(num_mel_bins=64, position_grid=(4, 4)))
    found = extractor.mean, extractor.std, extractor.target_length, extractor.num_mel_bins
    assert found == (-6.6268077, 3.0, 77, 64)


def test_an_extractor_without_statistics_hears_whole_clips_after_random_crops():
    config = SsamConfig(num_mel_bins=40, patch_size=(4, 8))
    lengths = [
        build_feature_extractor(data, config).target_length
        for data in (DataArguments(crop="random"), DataArguments(), LabelledDataArguments(target_length=200))
    ]
    assert lengths == [None, 1024, 200]
    assert build_feature_extractor(DataArguments(sampling_rate=8000), config).sampling_rate == 8000
    with pytest.raises(ValueError, match="data.mean and data.std: ssam standardises every clip by itself, remove"):
        build_feature_extractor(DataArguments(mean=0.0, std=1.0), config)


def test_options_need_to_fit_the_checkpoint_and_not_the_published_model(tmp_path):
    """Five heads divide the width of the checkpoint, not that of the base model."""
    sizes = {"hidden_size": 40, "num_attention_heads": 2, "decoder_hidden_size": 40, "decoder_groups": 4}
    SslamForPreTraining(SslamConfig(**(TINY["model"] | sizes))).save_pretrained(tmp_path)
    model, _ = start(tmp_path, num_attention_heads=5)
    assert model.config.num_attention_heads == 5
    with pytest.raises(ValueError, match="hidden_size 768 is not a multiple of num_attention_heads 5"):
        build_model(ModelArguments(options={"num_attention_heads": 5}))
