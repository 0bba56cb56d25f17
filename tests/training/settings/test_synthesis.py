import pytest

from training.settings.recipe import load_arguments
from training.settings.synthesis import MixtureArguments, OutputArguments, SourceArguments, SynthesisArguments


def test_distributions_are_fields_of_a_recipe():
    overrides = [
        "mixture.snr=[uniform, 5, 20]",
        "mixture.time_stretch=[uniform, 0.95, 1.05]",
        "mixture.event_time=1.5",
    ]
    mixture = load_arguments(None, overrides, SynthesisArguments).mixture
    assert mixture.snr == ["uniform", 5, 20]
    assert mixture.time_stretch == ["uniform", 0.95, 1.05]
    assert mixture.event_time == 1.5


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        (SourceArguments, {"format": "zip"}, "format of a sound collection is 'zip': choose folder or csv"),
        (MixtureArguments, {"duration": 0.0}, "mixture.duration is 0.0 s"),
        (MixtureArguments, {"min_events": 3, "max_events": 2}, "mixture.min_events is 3 and mixture.max_events 2"),
        (MixtureArguments, {"min_events": 0, "max_events": 0}, "a soundscape has at least one event at most"),
        (MixtureArguments, {"ref_db": 3.0}, "mixture.ref_db is 3.0 LUFS"),
        (MixtureArguments, {"fade": -0.1}, "mixture.fade -0.1 s: the one must not be above 0, the other not below"),
        (OutputArguments, {"seed": -1}, "output.seed is -1: it must be 0 or above"),
    ],
)
def test_impossible_settings(section, fields, message):
    with pytest.raises(ValueError, match=message):
        section(**fields)
