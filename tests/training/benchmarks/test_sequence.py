import pytest
import torch

from training.benchmarks import sequence as benchmark_sequence
from training.benchmarks.measure import peak_tensor_memory
from training.benchmarks.sequence import cell_rows, comparison_row, encoder_rows, growth_row, scan_rows


def test_peak_memory_counts_what_is_alive_at_a_time():
    mebibyte = 2**20 // 4  # of float32

    def work():
        one = torch.empty(mebibyte)
        two = torch.empty(2 * mebibyte)
        del one
        return torch.empty(3 * mebibyte).sum() + two.sum()

    assert peak_tensor_memory(work) == pytest.approx(5.0, abs=0.1)


def test_comparison_gives_the_other_ones_time_over_ours():
    row = comparison_row("scan", 0.1, 10.0, 0.4, 80.0)
    assert (row.value, row.measure) == (pytest.approx(4.0), "4.0x the speed, 0.12x the memory")
    assert comparison_row("scan", 0.1, 10.0, None, None).value is None


def test_growth_is_one_when_linear_and_less_when_quadratic(monkeypatch):
    monkeypatch.setattr(benchmark_sequence, "LENGTHS", (10, 40))
    assert growth_row("scan", [(1.0, 5.0), (4.0, 20.0)]).value == pytest.approx(1.0)
    assert growth_row("scan", [(1.0, 5.0), (16.0, 20.0)]).value == pytest.approx(0.25)


def test_scan_rows_compare_every_length_with_what_is_there(monkeypatch):
    monkeypatch.setattr(benchmark_sequence, "LENGTHS", (4, 32))
    monkeypatch.setattr(benchmark_sequence, "LONGEST_LOOP", 4)
    rows = {row.name: row for row in scan_rows()}
    assert rows["scan of 4 tokens against transformers' loop"].value > 0
    assert rows["scan of 32 tokens against transformers' loop"].value is None
    assert "8x the tokens" in rows["growth of the scan"].measure


def test_cell_rows_compare_chunks_with_the_parallel_form(monkeypatch):
    monkeypatch.setattr(benchmark_sequence, "LENGTHS", (200, 800))
    rows = {row.name: row for row in cell_rows()}
    short, long = (rows[f"cpu mLSTM, 1 x {length} tokens in chunks against all at once"] for length in (200, 800))
    assert long.value > short.value > 0
    assert rows["growth of the cpu mLSTM"].value > 0.5


def test_encoder_rows_are_relative_to_the_transformer(monkeypatch):
    monkeypatch.setattr(benchmark_sequence, "DURATIONS", {"tiny": (1,)})
    rows = {row.name: row for row in encoder_rows("tiny")}
    assert rows["cpu ssast_mae tiny, 1 x 1 s of audio"].value == 1.0
    assert rows["cpu ssam tiny, 1 x 1 s of audio"].value > 0
