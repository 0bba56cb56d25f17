"""transformers' common feature extractor tests on `PowerMelFeatureExtractor`."""

from __future__ import annotations

import unittest

from transformers_common_tests.test_sequence_feature_extraction_common import SequenceFeatureExtractionTestMixin

from modeling_sslam import PowerMelFeatureExtractor

from .test_sslam_feature_extractor import SslamFeatureExtractionTester


class PowerMelFeatureExtractionTest(SequenceFeatureExtractionTestMixin, unittest.TestCase):
    feature_extraction_class = PowerMelFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = SslamFeatureExtractionTester()
