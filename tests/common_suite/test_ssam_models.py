"""transformers' common model and configuration tests on SSAM, which has no attention."""

from __future__ import annotations

import unittest

from modeling_sslam import SsamForAudioClassification, SsamForPreTraining, SsamModel

from .testers import SpectrogramModelTester, SpectrogramModelTests


class SsamModelTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (SsamModel, SsamForAudioClassification)
    has_attentions = False

    def setUp(self):
        self.model_tester = SpectrogramModelTester("ssam", has_loss=True, num_extra_tokens=1)


class SsamForPreTrainingTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (SsamForPreTraining,)
    has_attentions = False

    def setUp(self):
        self.model_tester = SpectrogramModelTester("ssam", has_loss=False, num_extra_tokens=1)
