import json

import pytest

from modeling_sslam import SslamConfig
from training.benchmark import Row, encoder_flops, line, main, step_flops


def test_operations_are_those_of_the_published_comparison():
    base = SslamConfig()
    assert 4 * encoder_flops(base, 513) == pytest.approx(0.387e12, rel=0.01)
    assert step_flops(base, stage=1, clips=2, clones=4) == pytest.approx(0.69e12, rel=0.01)
    assert step_flops(base, stage=2, clips=2, clones=2) == pytest.approx(0.98e12, rel=0.01)


def test_a_line_says_whether_the_goal_was_reached():
    assert "goal 0.85: missed" in line(Row("encoder", 1.0, "80%", 0.80, 0.85))
    assert "goal 0.85: reached" in line(Row("encoder", 1.0, "86%", 0.86, 0.85))
    assert "goal" not in line(Row("fbank against torchaudio", 1.0, "not installed", None))


def test_rows_run_and_are_written_with_the_command(tmp_path, capsys, monkeypatch):
    output = tmp_path / "rows.json"
    monkeypatch.setattr("sys.argv", ["benchmark", "--rows", "masks", "--output", str(output)])
    main()
    assert "16 masks of 64 x 8" in capsys.readouterr().out
    result = json.loads(output.read_text())
    assert result["rows"][0]["seconds"] > 0
    assert "--rows masks" in result["command"]
