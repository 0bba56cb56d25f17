"""transformers' common model and configuration tests on the four SSAST classes."""

from __future__ import annotations

import unittest

import torch

from modeling_sslam import (
    SsastForAudioClassification,
    SsastForAudioFrameClassification,
    SsastForPreTraining,
    SsastModel,
)

from .testers import SpectrogramModelTester, SpectrogramModelTests

FAMILY, CLASS_TOKENS = "ssast patch", 2


class SsastModelTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (SsastModel, SsastForAudioClassification, SsastForAudioFrameClassification)

    def setUp(self):
        self.model_tester = SpectrogramModelTester(FAMILY, has_loss=True, num_extra_tokens=CLASS_TOKENS)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels and model_class is SsastForAudioFrameClassification:
            shape = self.model_tester.batch_size, self.model_tester.image_size  # as many time steps as frequencies
            inputs["labels"] = torch.zeros(shape, dtype=torch.long)
        return inputs


class SsastForPreTrainingTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (SsastForPreTraining,)

    def setUp(self):
        self.model_tester = SpectrogramModelTester(FAMILY, has_loss=False, num_extra_tokens=CLASS_TOKENS)
