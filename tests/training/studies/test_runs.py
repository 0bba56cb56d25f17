"""Runs of a study: carried out once, on one thread, and what fails is shown."""

import pytest

from training.studies.runs import Run, carry_out


def show_recipe(folder, name: str, *words: str) -> Run:
    return Run(name, "show_recipe", words, folder / name / "results.json")


def test_a_run_whose_result_is_there_is_not_repeated(tmp_path):
    done = show_recipe(tmp_path, "done", "no such recipe")
    done.result.parent.mkdir()
    done.result.write_text('{"accuracy": 0.5}')
    carry_out([done])
    assert done.results() == {"accuracy": 0.5}
    assert not done.result.with_suffix(".log").exists()


def test_a_failed_run_shows_its_command_and_the_end_of_its_log(tmp_path):
    failing = show_recipe(tmp_path, "failing", "no_such_recipe.yaml")
    with pytest.raises(
        ValueError,
        match=r"python -m training.show_recipe no_such_recipe.yaml ended with status 1(.|\n)*no_such_recipe",
    ):
        carry_out([failing], jobs=2)


def test_a_run_without_a_result_has_failed(tmp_path):
    silent = show_recipe(tmp_path, "silent", "training/recipes/ssam_tiny.yaml")
    with pytest.raises(ValueError, match="ended with status 0"):
        carry_out([silent])
