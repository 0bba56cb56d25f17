import math

import pytest

from modeling_sslam.tokens_positions import time_frequency_table


def test_first_half_is_frequency_and_second_half_is_time():
    table = time_frequency_table(num_time=3, num_frequency=2, hidden_size=8)
    assert table.shape == (6, 8)
    time, frequency = 2, 1
    row = table[time * 2 + frequency].tolist()
    rates = (1.0, 0.01)  # 10000 ** -(i / 2)
    expected = [math.sin(frequency * w) for w in rates] + [math.cos(frequency * w) for w in rates]
    expected += [math.sin(time * w) for w in rates] + [math.cos(time * w) for w in rates]
    assert row == pytest.approx(expected, abs=1e-6)


def test_width_must_fit_two_axes():
    with pytest.raises(ValueError, match="hidden_size is 30.*multiple of 4"):
        time_frequency_table(2, 2, 30)
