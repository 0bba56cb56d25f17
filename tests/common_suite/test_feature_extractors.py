"""transformers' common feature extractor tests on our extractors."""

from __future__ import annotations

import unittest

import numpy as np
from transformers_common_tests.test_sequence_feature_extraction_common import SequenceFeatureExtractionTestMixin

from modeling_sslam.feature_extraction_kaldi_fbank import KaldiFbankFeatureExtractor
from modeling_sslam.feature_extraction_linear_spectrogram import LinearSpectrogramFeatureExtractor
from modeling_sslam.feature_extraction_power_mel import PowerMelFeatureExtractor
from modeling_sslam.feature_extraction_waveform import WaveformFeatureExtractor


class FeatureExtractionTester:
    """Clips of rising length, with the attribute names that the common tests read."""

    batch_size = 7
    min_seq_length = 400
    seq_length_diff = 200
    max_seq_length = min_seq_length + (batch_size - 1) * seq_length_diff
    feature_size = 1
    padding_value = 0.0

    def prepare_feat_extract_dict(self) -> dict:
        return {"feature_size": self.feature_size, "padding_value": self.padding_value, "sampling_rate": 16000}

    def prepare_inputs_for_common(self, equal_length: bool = False, numpify: bool = False) -> list:
        generator = np.random.default_rng(0)
        lengths = [self.min_seq_length + index * self.seq_length_diff for index in range(self.batch_size)]
        if equal_length:
            lengths = [self.max_seq_length] * self.batch_size
        clips = [generator.uniform(-1, 1, length).astype(np.float32) for length in lengths]
        return clips if numpify else [clip.tolist() for clip in clips]


class FeatureExtractionTest(SequenceFeatureExtractionTestMixin):
    def setUp(self):
        self.feat_extract_tester = FeatureExtractionTester()


class KaldiFbankFeatureExtractionTest(FeatureExtractionTest, unittest.TestCase):
    feature_extraction_class = KaldiFbankFeatureExtractor


class LinearSpectrogramFeatureExtractionTest(FeatureExtractionTest, unittest.TestCase):
    feature_extraction_class = LinearSpectrogramFeatureExtractor


class PowerMelFeatureExtractionTest(FeatureExtractionTest, unittest.TestCase):
    feature_extraction_class = PowerMelFeatureExtractor


class WaveformFeatureExtractionTest(FeatureExtractionTest, unittest.TestCase):
    feature_extraction_class = WaveformFeatureExtractor
