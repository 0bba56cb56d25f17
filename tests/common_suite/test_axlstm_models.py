"""transformers' common model and configuration tests on AxLSTM, which has no attention."""

from __future__ import annotations

import unittest

from modeling_sslam import AxlstmForAudioClassification, AxlstmForPreTraining, AxlstmModel

from .testers import SpectrogramModelTester, SpectrogramModelTests


class AxlstmModelTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (AxlstmModel, AxlstmForAudioClassification)
    has_attentions = False

    def setUp(self):
        self.model_tester = SpectrogramModelTester("axlstm", has_loss=True, num_extra_tokens=1)


class AxlstmForPreTrainingTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (AxlstmForPreTraining,)
    has_attentions = False

    def setUp(self):
        self.model_tester = SpectrogramModelTester("axlstm", has_loss=False, num_extra_tokens=1)
