"""transformers' common model and configuration tests on the four SSLAM classes."""

from __future__ import annotations

import unittest

import torch
from transformers_common_tests.test_configuration_common import ConfigTester
from transformers_common_tests.test_modeling_common import ModelTesterMixin

from modeling_sslam import (
    SslamConfig,
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
    SslamForPreTraining,
    SslamModel,
)


class SslamModelTester:
    """Tiny configuration and inputs, with the attribute names that the common tests read."""

    batch_size = 3
    is_training = True
    time_patches = 4
    num_frequency_patches = 2
    patch_size = 16
    hidden_size = 32
    num_hidden_layers = 2
    num_attention_heads = 4

    mask_length = time_patches * num_frequency_patches
    num_masks = mask_length // 2  # of the patches, where a test makes a mask itself
    seq_length = 1 + mask_length  # tokens with the class token
    gives_attention_mask = True

    def get_config(self) -> SslamConfig:
        return SslamConfig(
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=2 * self.hidden_size,
            patch_size=self.patch_size,
            num_mel_bins=self.num_frequency_patches * self.patch_size,
            max_time_patches=2 * self.time_patches,
            decoder_hidden_size=self.hidden_size,
            decoder_num_layers=2,
            decoder_groups=4,
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[SslamConfig, dict[str, torch.Tensor]]:
        config = self.get_config()
        num_frames = self.time_patches * self.patch_size
        generator = torch.Generator().manual_seed(0)
        inputs = {"input_values": torch.randn(self.batch_size, num_frames, config.num_mel_bins, generator=generator)}
        if self.gives_attention_mask:
            inputs["attention_mask"] = torch.ones(self.batch_size, num_frames, dtype=torch.long)
        return config, inputs


class SslamForPreTrainingTester(SslamModelTester):
    """The same with a mask over half of the patches; no loss, so nothing to train on."""

    is_training = False
    seq_length = 1 + SslamModelTester.mask_length - SslamModelTester.num_masks

    def prepare_config_and_inputs_for_common(self) -> tuple[SslamConfig, dict[str, torch.Tensor]]:
        config, inputs = super().prepare_config_and_inputs_for_common()
        inputs["bool_masked_pos"] = (torch.arange(self.mask_length) < self.num_masks).expand(self.batch_size, -1)
        return config, inputs


class SslamCommonTests(ModelTesterMixin):
    """What differs from text models, on which the common tests were written."""

    test_resize_embeddings = False
    model_tester_class = SslamModelTester

    def setUp(self):
        self.model_tester = self.model_tester_class()

    def test_config(self):
        sizes = {"hidden_size": self.model_tester.hidden_size, "num_attention_heads": 4}
        ConfigTester(self, config_class=SslamConfig, has_text_modality=False, **sizes).run_common_tests()

    def test_model_get_set_embeddings(self):
        """Input embeddings are a convolution, not a table."""
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            assert isinstance(model_class(config).get_input_embeddings(), torch.nn.Module)

    def test_model_outputs_equivalence(self):
        """Without padding: the comparison subtracts outputs, which `token_mask`, being boolean, does not allow."""
        self.model_tester.gives_attention_mask = False
        super().test_model_outputs_equivalence()

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs_dict = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels and model_class is SslamForAudioFrameClassification:
            shape = (self.model_tester.batch_size, self.model_tester.time_patches)
            inputs_dict["labels"] = torch.zeros(shape, dtype=torch.long)
        return inputs_dict


class SslamModelTest(SslamCommonTests, unittest.TestCase):
    all_model_classes = (SslamModel, SslamForAudioClassification, SslamForAudioFrameClassification)


class SslamForPreTrainingTest(SslamCommonTests, unittest.TestCase):
    all_model_classes = (SslamForPreTraining,)
    model_tester_class = SslamForPreTrainingTester
