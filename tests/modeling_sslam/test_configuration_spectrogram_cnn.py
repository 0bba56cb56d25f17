import pytest

from modeling_sslam import LinearSpectrogramFeatureExtractor, SpectrogramCnnConfig
from modeling_sslam.configuration_spectrogram_cnn import kind_and_size


@pytest.mark.parametrize(
    ("architecture", "kind", "size"),
    [
        ("resnet18", "resnet", "18"),
        ("cifar-resnet56", "cifar-resnet", "56"),
        ("densenet121", "densenet", "121"),
        ("efficientnet-b0", "efficientnet", "b0"),
    ],
)
def test_a_name_is_of_a_kind_and_a_size(architecture, kind, size):
    assert kind_and_size(architecture) == (kind, size)


@pytest.mark.parametrize("architecture", ["resnet19", "densenet", "efficientnetb0", "efficientnet-b8", "vgg16", ""])
def test_unknown_networks_are_refused_with_those_there_are(architecture):
    with pytest.raises(
        ValueError, match=rf"architecture is '{architecture}': choose one of resnet18, .*efficientnet-b7"
    ):
        SpectrogramCnnConfig(architecture=architecture)


@pytest.mark.parametrize(
    ("architecture", "hidden_size", "num_layers", "time_stride", "num_bands"),
    [
        ("resnet18", 512, 4, 32, 7),
        ("resnet50", 2048, 4, 32, 7),
        ("cifar-resnet44", 128, 3, 16, 14),
        ("densenet121", 1024, 4, 32, 7),
        ("efficientnet-b1", 1280, 7, 32, 7),
    ],
)
def test_sizes_follow_from_the_architecture(architecture, hidden_size, num_layers, time_stride, num_bands):
    config = SpectrogramCnnConfig(architecture=architecture)
    assert (config.hidden_size, config.num_hidden_layers) == (hidden_size, num_layers)
    assert (config.time_stride, config.step_frames, config.num_frequency_patches) == (
        time_stride,
        time_stride,
        num_bands,
    )
    assert config.num_steps(500) == 500 // time_stride


def test_a_step_has_its_place_in_time():
    config = SpectrogramCnnConfig()
    assert config.seconds_per_step == pytest.approx(32 * 220 / 22050)
    extractor = LinearSpectrogramFeatureExtractor(**config.extractor_fields())
    assert extractor.to_dict() == LinearSpectrogramFeatureExtractor().to_dict()
    assert extractor.seconds_per_step == config.seconds_per_frame


def test_dropout_and_stochastic_depth_are_the_published_ones_where_there_are_any():
    of = {name: SpectrogramCnnConfig(architecture=name) for name in ("resnet18", "efficientnet-b0", "efficientnet-b4")}
    assert [config.classifier_dropout for config in of.values()] == [0.0, 0.2, 0.4]
    assert [config.drop_path_rate for config in of.values()] == [0.0, 0.2, 0.2]
    config = SpectrogramCnnConfig(architecture="efficientnet-b0", classifier_dropout=0.0, drop_path_rate=0.0)
    assert (config.classifier_dropout, config.drop_path_rate) == (0.0, 0.0)


def test_a_saved_configuration_comes_back(tmp_path):
    config = SpectrogramCnnConfig(architecture="efficientnet-b0", width_multiplier=0.5, drop_path_rate=0.1)
    config.save_pretrained(tmp_path)
    assert SpectrogramCnnConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 100}, "hidden_size is 100, but resnet18 with width_multiplier 1.0 has 512: leave it out"),
        ({"num_hidden_layers": 12}, "num_hidden_layers is 12, but resnet18 .* has 4: leave it out"),
        ({"norm_momentum": 0.0}, "norm_momentum is 0.0: expected more than 0, and 1 at most"),
        ({"drop_path_rate": 0.1}, "drop_path_rate is 0.1, but resnet18 has no stochastic depth"),
        ({"width_multiplier": 0}, "width_multiplier is 0: expected more than 0"),
        (
            {"architecture": "densenet121", "num_frequency_bins": 8},
            "num_frequency_bins is 8: densenet121 leaves nothing",
        ),
        ({"architecture": "cifar-resnet21"}, "a CIFAR-ResNet of 21 layers has no whole blocks"),
        ({"pooling": "cls"}, "pooling is 'cls': choose one of mean, attentive, linear_softmax"),
    ],
)
def test_fields_that_contradict_the_network_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SpectrogramCnnConfig(**fields)
