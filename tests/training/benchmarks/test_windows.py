import torch

from modeling_sslam import MwmaeConfig
from modeling_sslam.layers_window_attention import WindowAttention
from training.benchmarks import windows as benchmark_windows
from training.benchmarks.windows import DenseAttention, attention_rows, pretraining_rows


def test_dense_attention_computes_the_same():
    torch.manual_seed(0)
    config = MwmaeConfig()
    config._attn_implementation = "sdpa"
    windowed = WindowAttention(config, 16, (2, 5, 5, 0), shifted=False)
    for group in windowed.groups:
        if group.window:
            torch.nn.init.normal_(group.relative_position_bias_table)
    tokens = torch.randn(2, 20, 16)
    gradients = []
    for attention in (lambda tokens: windowed(tokens)[0], DenseAttention(windowed)):
        output = attention(tokens)
        gradients.append([output, *torch.autograd.grad(output.square().sum(), windowed.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_rows_compare_windows_with_dense_attention_at_every_length(monkeypatch):
    monkeypatch.setattr(benchmark_windows, "LENGTHS", (20, 40))
    rows = attention_rows(clips=1, repetitions=1)
    assert [row.name for row in rows] == [
        "cpu 6 heads in windows, 1 x 20 tokens",
        "cpu 8 heads in windows, 1 x 40 tokens",
    ]
    assert all(row.value > 0 and "dense" in row.measure for row in rows)


def test_rows_of_pretraining_are_relative_to_the_plain_autoencoder():
    mae, mwmae = pretraining_rows(size="tiny", clips=1)
    assert (mae.value, mae.name) == (1.0, "cpu MAE tiny step, 1 clips")
    assert mwmae.value > 0
