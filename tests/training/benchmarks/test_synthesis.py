from training.benchmarks.synthesis import synthesis_rows


def test_a_row_without_and_one_with_stretching():
    plain, stretched = synthesis_rows(soundscapes=2, repetitions=1)
    assert plain.name == "2 soundscapes without stretching"
    assert plain.goal == 40.0
    assert plain.value == 2 * 5.0 / plain.seconds
    assert stretched.goal is None
    assert stretched.value < plain.value
