import torch

from training.probes.head_analysis import HeadStatistics
from training.run.plots import plot_heads, plot_masked_spectrogram, plot_mixture, plot_probes, plot_training


def test_masked_spectrogram(picture):
    mask = torch.ones(6 * 8, dtype=torch.bool)
    mask[:10] = False
    plot_masked_spectrogram(
        picture, torch.randn(100, 128), mask, patch_size=(16, 16)
    )  # 100 frames: 4 beyond the last patch


def test_mixture(picture):
    clip, foreign = torch.randn(96, 128), torch.randn(96, 128)
    plot_mixture(picture, clip, foreign, torch.maximum(clip, foreign), [0, 48], 32)


def test_training_curves(picture):
    line = {"loss_patch": 5.0, "loss_class": 2.0, "prediction_variance": 0.5, "target_variance": 0.9}
    stage1 = [{"step": step} | line for step in (1, 2)]
    stage2 = [{"step": step, "loss_retention": 3.0} | line for step in (1, 2)]
    plot_training(picture, {"stage 1": stage1, "stage 2": stage2})


def test_probes(picture):
    plot_probes(picture, {"events": {"random": 0.3, "stage 1": 0.6}, "soundscapes": {"random": 0.4, "stage 1": 0.5}})


def test_heads(picture):
    encoder = HeadStatistics(entropy=torch.rand(3, 4), distance=torch.rand(3, 4))
    decoder = HeadStatistics(entropy=torch.rand(2, 6), distance=torch.rand(2, 6))
    stacks, windows = {"encoder": encoder, "decoder": decoder}, {"decoder": (2, 4, 8, 16, 0, 0)}
    plot_heads(picture, stacks, "decoder heads", torch.rand(12, 12), num_layers=2, windows=windows)
