"""What transformers' common tests need of a spectrogram encoder: a tiny configuration, inputs, and exceptions."""

from __future__ import annotations

import contextlib
import inspect
from unittest import mock

import torch
from transformers import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers_common_tests.test_configuration_common import ConfigTester
from transformers_common_tests.test_modeling_common import ModelTesterMixin

from modeling_sslam.heads import ForAudioClassification, ForAudioFrameClassification
from tests.families import Family, num_bins

COMMON_PROPERTIES = ("hidden_size", "num_attention_heads", "num_hidden_layers")


class SpectrogramModelTester:
    """The tiny configuration of a family and clips for it, with the attribute names that the common tests read.

    Clips have as many time steps as frequency patches: the common tests take patches for those of a square image.

    Args:
        model_class: an encoder, or a model for pretraining, which gets a mask and has no loss to train on.
    """

    batch_size = 3
    patch_size = 1  # of the "image", whose pixels are our patches

    def __init__(self, family: Family, model_class: type[PreTrainedModel]):
        self.config = family.config
        self.pretraining_inputs = family.pretraining_inputs
        self.is_training = "bool_masked_pos" not in inspect.signature(model_class.forward).parameters
        self.image_size = self.config.num_frequency_patches
        self.mask_length = self.image_size**2
        self.num_masks = self.mask_length // 2  # of the patches, where a test makes a mask itself
        self.seq_length = self.num_extra_tokens + self.mask_length
        for name in COMMON_PROPERTIES:
            if hasattr(self.config, name):
                setattr(self, name, getattr(self.config, name))

    @property
    def num_extra_tokens(self) -> int:
        """Tokens of a hidden state besides the patches, among them a class token that enters no output."""
        return max(self.config.num_special_tokens, getattr(self.config, "use_class_token", 0))

    def get_config(self) -> PreTrainedConfig:
        return type(self.config)(**self.config.to_dict())

    def prepare_config_and_inputs_for_common(self) -> tuple[PreTrainedConfig, dict[str, torch.Tensor]]:
        config = self.get_config()
        shape = self.batch_size, config.frames_of(self.image_size), num_bins(config)
        values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        inputs = {"input_values": values, "attention_mask": torch.ones(shape[:2], dtype=torch.long)}
        if not self.is_training:
            inputs |= self.pretraining_inputs(values)
        return config, inputs


class SpectrogramModelTests(ModelTesterMixin):
    """What differs from text models, on which the common tests were written.

    Attributes:
        family: whose models these are.
        num_hidden_states_types: how many of a model's outputs are hidden states of blocks.
        drops_masked_patches: whether blocks see only the patches that a mask keeps.
    """

    test_resize_embeddings = False
    family: Family
    num_hidden_states_types = 1
    drops_masked_patches = False

    def setUp(self):
        self.model_tester = SpectrogramModelTester(self.family, self.all_model_classes[0])
        self.model_tester.num_hidden_states_types = self.num_hidden_states_types
        if self.drops_masked_patches:
            self.model_tester.seq_length -= self.model_tester.num_masks

    def test_config(self):
        config = self.model_tester.config
        settable = [name for name in COMMON_PROPERTIES if name not in self.family.derived_fields]
        properties = [name for name in settable if hasattr(config, name)]
        sizes = {name: getattr(config, name) for name in properties}
        ConfigTester(
            self, config_class=type(config), has_text_modality=False, common_properties=properties, **sizes
        ).run_common_tests()

    def test_model_get_set_embeddings(self):
        """Input embeddings are a convolution, not a table."""
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            assert isinstance(model_class(config).get_input_embeddings(), torch.nn.Conv2d)

    def test_can_load_ignoring_mismatched_shapes(self):
        """The common test finds a head by the name of its class."""
        with contextlib.ExitStack() as patches:
            for model_class in self.all_model_classes:
                if issubclass(model_class, ForAudioClassification):
                    head_class = type("ClipClassificationHead", (model_class.head_class,), {})
                    patches.enter_context(mock.patch.object(model_class, "head_class", head_class))
            super().test_can_load_ignoring_mismatched_shapes()

    def test_num_layers_is_small(self):
        """A network that has as many stages as its architecture cannot have fewer."""
        if "num_hidden_layers" in self.family.derived_fields:
            assert self.model_tester.num_hidden_layers <= self.family.published_size[0]
        else:
            super().test_num_layers_is_small()

    def test_hidden_states_output(self):
        """The common test expects tokens; maps have their channels elsewhere, and ever more of them."""
        if self.family.channel_axis == -1:
            super().test_hidden_states_output()
            return
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            for request in ({"output_hidden_states": True}, {}):
                config.output_hidden_states = not request
                with torch.no_grad():
                    maps = model_class(config).eval()(**inputs, **request).hidden_states
                channels = [of_layer.shape[self.family.channel_axis] for of_layer in maps]
                assert channels == list(config.sizes.channels)

    def test_bc_torch_dtype(self):
        """As the common test, but without a report for each parameter, which takes most of its time."""
        with mock.patch.object(self, "subTest", return_value=contextlib.nullcontext()):
            super().test_bc_torch_dtype()

    def test_model_outputs_equivalence(self):
        """As the common test, which however subtracts outputs: masks, being boolean, do not allow that."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            model = model_class(config).eval()
            for request in ({}, {"output_hidden_states": True}, {"output_attentions": self.has_attentions}):
                with torch.no_grad():
                    as_dict = model(**inputs, **request).to_tuple()
                    torch.testing.assert_close(model(**inputs, **request, return_dict=False), as_dict)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        """Labels of time steps are of a kind that the common tests do not know."""
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels and issubclass(model_class, ForAudioFrameClassification):
            inputs["labels"] = torch.zeros(self.model_tester.batch_size, self.model_tester.image_size).long()
        return inputs
