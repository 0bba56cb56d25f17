from modeling_sslam.gise51_labels import GISE51_LABELS


def test_the_51_names_in_their_order():
    assert len(set(GISE51_LABELS)) == 51
    assert list(GISE51_LABELS) == sorted(GISE51_LABELS)
    numbers = {"Applause": 0, "Crash_cymbal": 9, "Hi-hat": 25, "Rattle_(instrument)": 32, "Zipper_(clothing)": 50}
    assert {name: GISE51_LABELS.index(name) for name in numbers} == numbers


def test_no_name_has_a_comma():
    assert not any("," in name or " " in name for name in GISE51_LABELS)
