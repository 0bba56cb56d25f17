import pytest
import torch

from modeling_sslam import KaldiFbankFeatureExtractor
from modeling_sslam.audioset_labels import AUDIOSET_LABELS
from modeling_sslam.feature_extraction_waveform import WaveformFeatureExtractor
from tests.labelled_clips import TARGET_LENGTH, data_section, evaluation_section, write_clips
from training.data.labelled import (
    LabelledClips,
    RecordedClips,
    label_indices,
    label_names,
    load_labelled_rows,
)
from training.settings.augment import AugmentArguments
from training.settings.data import EvaluationArguments, LabelledDataArguments
from training.sound_bank import EVENTS


@pytest.fixture(scope="module")
def clips_csv(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("bank"))


def labelled(clips_csv, kind="event", **augmentation) -> LabelledClips:
    data = LabelledDataArguments(**data_section(clips_csv, kind))
    rows = load_labelled_rows(data)
    classes = label_names(data, rows.names)
    extractor = KaldiFbankFeatureExtractor(target_length=TARGET_LENGTH)
    return LabelledClips(RecordedClips(rows, classes, data.audio_column), extractor, **augmentation)


def test_one_label_a_clip(clips_csv):
    rows = load_labelled_rows(LabelledDataArguments(**data_section(clips_csv, "event")))
    assert rows.names[:3] == [["band_noise"], ["bell"], ["chirp"]]
    assert len(rows.rows) == 15


def test_several_labels_a_clip(clips_csv):
    clips = labelled(clips_csv, "soundscape")
    assert clips.source.targets().shape == (9, len(EVENTS))
    assert clips.source.targets().sum(1).min() >= 2


def test_items(clips_csv):
    clips = labelled(clips_csv, augment=AugmentArguments(roll=True, noise=True))
    plain, augmented = clips[3], clips[3, 7]
    assert plain["input_values"].shape == (TARGET_LENGTH, 128)
    assert plain["labels"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert not torch.equal(plain["input_values"], augmented["input_values"])
    assert torch.equal(augmented["input_values"], clips[3, 7]["input_values"])
    assert not torch.equal(augmented["input_values"], clips[3, 8]["input_values"])


def test_folder_names_as_labels(tmp_path, clips_csv):
    data = LabelledDataArguments(format="folder", path=str(clips_csv.parent), label_column="folder")
    assert load_labelled_rows(data).names[0] == ["audio"]


def test_audioset_classes():
    classes = label_names(LabelledDataArguments(label_set="audioset"), [["Music"]])
    assert classes == list(AUDIOSET_LABELS)
    assert label_indices([["Speech", "Field recording"]], classes) == [[0, 526]]


def test_unknown_labels_are_listed():
    with pytest.raises(ValueError, match="not among the 2 classes: cow, dog"):
        label_indices([["dog"], ["cat", "cow"]], ["cat", "bird"])


def test_unknown_label_set():
    with pytest.raises(ValueError, match="data.label_set is 'fsd50k': choose audioset, gise51 or null"):
        LabelledDataArguments(label_set="fsd50k")


def test_no_rows(clips_csv):
    data = LabelledDataArguments(**(data_section(clips_csv, "event") | {"filters": {"split": ["valid"]}}))
    with pytest.raises(ValueError, match="has no rows with .*valid"):
        load_labelled_rows(data)


def test_evaluation_on_the_training_clips_is_refused(clips_csv):
    data = LabelledDataArguments(**data_section(clips_csv, "event"))
    with pytest.raises(ValueError, match=r"set evaluation\.path, \.split or \.filters"):
        EvaluationArguments(filters=data.filters).applied_to(data)
    changed = EvaluationArguments(**evaluation_section("event")).applied_to(data)
    assert (changed.path, changed.filters["split"]) == (data.path, ["test"])


def test_hidden_bands_are_silent(clips_csv):
    clips = labelled(clips_csv, augment=AugmentArguments(frequency_mask=24))
    plain, augmented = clips[3]["input_values"], clips[3, 7]["input_values"]
    assert (augmented[plain != augmented] == clips.feature_extractor.silence).all()


def test_waveforms_have_no_bands(clips_csv):
    clips = labelled(clips_csv, augment=AugmentArguments(frequency_mask=24))
    clips.feature_extractor = WaveformFeatureExtractor(target_length=4000)
    assert clips[3]["input_values"].shape == (4000,)
    with pytest.raises(ValueError, match="SpecAugment .* is made for spectrograms, but this model hears waveforms"):
        clips[3, 7]


def test_cropped_clips_are_normalised_as_a_whole(clips_csv):
    """Clips of 1.3 s have 128 frames of 10 ms."""
    whole = labelled(clips_csv)[3]["input_values"]
    clips = labelled(clips_csv, target_length=50, crop=True)
    assert torch.equal(clips[3]["input_values"], whole[39:89])
    augmented = clips[3, 7]["input_values"]
    assert torch.equal(augmented, clips[3, 7]["input_values"])
    starts = whole.unfold(0, 50, 1).transpose(1, 2)
    assert sum(torch.equal(augmented, part) for part in starts) == 1


def test_short_clips_are_filled_on_both_sides(clips_csv):
    whole = labelled(clips_csv)[3]["input_values"]
    options = {"target_length": 150, "crop": True}
    wrapped = labelled(clips_csv, **options)[3, 7]["input_values"]
    assert torch.equal(wrapped[11:139], whole)
    assert torch.equal(wrapped[:11], whole[-11:])
    assert torch.equal(wrapped, labelled(clips_csv, **options)[3]["input_values"])
    filled = labelled(clips_csv, augment=AugmentArguments(minimum_padding=1.0), **options)
    assert (filled[3, 7]["input_values"][:11] == whole.min()).all()
    assert torch.equal(filled[3]["input_values"], wrapped)  # evaluation never fills
    assert filled[3].keys() == {"input_values", "labels"}


def test_masks_come_after_the_crop(clips_csv):
    augment = AugmentArguments(random_masks=2, random_masks_probability=1.0)
    plain = labelled(clips_csv, target_length=50, crop=True)[3, 7]["input_values"]
    masked = labelled(clips_csv, target_length=50, crop=True, augment=augment)[3, 7]["input_values"]
    assert not torch.equal(plain, masked)
    assert (masked[plain != masked] == plain.min()).all()


def test_waveforms_are_cropped_too(clips_csv):
    clips = labelled(clips_csv, target_length=4000, crop=True)
    clips.feature_extractor = WaveformFeatureExtractor()
    assert torch.equal(clips[3]["input_values"], clips.clip(3)[0][8400:12400])


def test_the_extractor_pads_to_another_length(clips_csv):
    clips = labelled(clips_csv, target_length=140)
    assert clips[3]["input_values"].shape == (140, 128)


def test_crops_have_a_length(clips_csv):
    with pytest.raises(ValueError, match="can only be cropped to a length: give target_length"):
        labelled(clips_csv, crop=True)
