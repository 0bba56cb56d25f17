"""transformers' common model and configuration tests on MW-MAE."""

from __future__ import annotations

import unittest

from modeling_sslam import MwmaeForAudioClassification, MwmaeForPreTraining, MwmaeModel

from .testers import SpectrogramModelTester, SpectrogramModelTests


class MwmaeModelTest(SpectrogramModelTests, unittest.TestCase):
    all_model_classes = (MwmaeModel, MwmaeForAudioClassification)

    def setUp(self):
        self.model_tester = SpectrogramModelTester("mwmae", has_loss=True, num_extra_tokens=0)


class MwmaeForPreTrainingTest(SpectrogramModelTests, unittest.TestCase):
    """The encoder sees only the kept patches."""

    all_model_classes = (MwmaeForPreTraining,)

    def setUp(self):
        self.model_tester = SpectrogramModelTester("mwmae", has_loss=False, num_extra_tokens=0)
        self.model_tester.seq_length = int((1 - self.model_tester.config.mask_ratio) * self.model_tester.seq_length)
        self.model_tester.num_hidden_states_types = 2  # of the encoder and of the decoder
