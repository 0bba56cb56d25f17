"""transformers' common model and configuration tests on the transformer baseline of SSAM and AxLSTM."""

from __future__ import annotations

import unittest

from modeling_sslam import SsastMaeForAudioClassification, SsastMaeForPreTraining, SsastMaeModel

from .testers import SpectrogramModelTester, SpectrogramModelTests


class SsastMaeModelTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (SsastMaeModel, SsastMaeForAudioClassification)

    def setUp(self):
        self.model_tester = SpectrogramModelTester("ssast_mae", has_loss=True, num_extra_tokens=1)


class SsastMaeForPreTrainingTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (SsastMaeForPreTraining,)

    def setUp(self):
        self.model_tester = SpectrogramModelTester("ssast_mae", has_loss=False, num_extra_tokens=1)
