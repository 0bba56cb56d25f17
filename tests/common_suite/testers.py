"""What transformers' common tests need of a spectrogram encoder: a tiny configuration, inputs, and exceptions."""

from __future__ import annotations

import inspect

import torch
from transformers import PreTrainedConfig
from transformers_common_tests.test_configuration_common import ConfigTester
from transformers_common_tests.test_modeling_common import ModelTesterMixin

from tests.families import FAMILIES

COMMON_PROPERTIES = ("hidden_size", "num_attention_heads", "num_hidden_layers")


class SpectrogramModelTester:
    """The tiny configuration of a family and clips for it, with the attribute names that the common tests read.

    Clips have as many time steps as frequency patches: the common tests take patches for those of a square image.

    Args:
        family: key of `FAMILIES`.
        has_loss: whether the models can be trained on what they return; those for pretraining cannot.
        num_extra_tokens: of a hidden state, besides the patches.
    """

    batch_size = 3
    patch_size = 1  # of the "image", whose pixels are our patches

    def __init__(self, family: str, has_loss: bool, num_extra_tokens: int):
        self.config = FAMILIES[family].config
        self.pretraining_inputs = FAMILIES[family].pretraining_inputs
        self.is_training = has_loss
        self.gives_attention_mask = True
        self.image_size = self.config.num_frequency_patches
        self.mask_length = self.image_size**2
        self.num_masks = self.mask_length // 2  # of the patches, where a test makes a mask itself
        self.seq_length = num_extra_tokens + self.mask_length
        for name in COMMON_PROPERTIES:
            if hasattr(self.config, name):
                setattr(self, name, getattr(self.config, name))

    def get_config(self) -> PreTrainedConfig:
        return type(self.config)(**self.config.to_dict())

    def prepare_config_and_inputs_for_common(self) -> tuple[PreTrainedConfig, dict[str, torch.Tensor]]:
        config = self.get_config()
        shape = self.batch_size, self.image_size * config.time_stride, config.num_mel_bins
        inputs = {"input_values": torch.randn(shape, generator=torch.Generator().manual_seed(0))}
        if self.gives_attention_mask:
            inputs["attention_mask"] = torch.ones(shape[:2], dtype=torch.long)
        if not self.is_training:
            inputs |= self.pretraining_inputs(inputs["input_values"])
        return config, inputs


class SpectrogramModelTests(ModelTesterMixin):
    """What differs from text models, on which the common tests were written; `setUp` makes the `model_tester`."""

    test_resize_embeddings = False
    model_tester: SpectrogramModelTester

    def test_config(self):
        config = self.model_tester.config
        properties = [name for name in COMMON_PROPERTIES if hasattr(config, name)]
        sizes = {name: getattr(config, name) for name in properties}
        ConfigTester(
            self, config_class=type(config), has_text_modality=False, common_properties=properties, **sizes
        ).run_common_tests()

    def test_model_get_set_embeddings(self):
        """Input embeddings are a convolution, not a table."""
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            assert isinstance(model_class(config).get_input_embeddings(), torch.nn.Module)

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
        """A model that replaces masked patches needs to be told by what."""
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if "bool_masked_pos" in inputs and "mask_token" in inspect.signature(model_class.forward).parameters:
            inputs["mask_token"] = torch.zeros(1, 1, self.model_tester.hidden_size)
        return inputs
