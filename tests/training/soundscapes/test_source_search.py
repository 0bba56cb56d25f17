import pytest

from training.soundscapes.source_search import SourceSearch

LABELS = {"dog_bark", "siren"}
AUTHOR = "/home/author/soundbanks/train/foreground"


@pytest.fixture
def search(tmp_path):
    """Makes empty files of these names and gives their search."""

    def make(*names: str) -> SourceSearch:
        for name in names:
            path = tmp_path / "sounds" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return SourceSearch(tmp_path / "sounds", LABELS)

    return make


@pytest.mark.parametrize(
    "source", [f"{AUTHOR}/dog_bark/1.wav", "dog_bark/1.wav", r"C:\sounds\train\dog_bark\1.wav", "1.wav"]
)
def test_class_and_file_name(search, source):
    found = search("dog_bark/1.wav", "siren/1.wav", "noise/1.wav")
    assert found.find(source, "dog_bark") == found.root / "dog_bark" / "1.wav"


def test_folds_have_other_names(search):
    found = search("audio/fold1/1-0-0.wav", "audio/fold2/2-0-0.wav")
    assert found.find(f"{AUTHOR}/dog_bark/2-0-0.wav", "dog_bark") == found.root / "audio/fold2/2-0-0.wav"


def test_the_split_decides_between_files_of_a_class(search):
    found = search("train/foreground/siren/1.wav", "test/foreground/siren/1.wav")
    assert found.find(f"{AUTHOR}/siren/1.wav", "siren") == found.root / "train/foreground/siren/1.wav"


def test_the_name_of_the_users_folder_counts(search):
    search("foreground/siren/1.wav", "other/siren/1.wav")
    found = SourceSearch(search().root, LABELS)
    assert found.find("/x/sounds/foreground/siren/1.wav", "siren") == found.root / "foreground/siren/1.wav"


def test_another_audio_format_stands_for_one_that_is_not_there(search):
    found = search("siren/1.flac", "siren/1.txt", "siren/2.flac", "siren/2.wav")
    assert found.find(f"{AUTHOR}/siren/1.wav", "siren") == found.root / "siren/1.flac"
    assert found.find(f"{AUTHOR}/siren/2.wav", "siren") == found.root / "siren/2.wav"


def test_links_are_followed(search, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "9.wav").touch()
    (search("siren/1.wav").root / "dog_bark").symlink_to(tmp_path / "elsewhere")
    assert search().find("dog_bark/9.wav", "dog_bark").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (f"{AUTHOR}/siren/7.wav", "no file has this name"),
        (f"{AUTHOR}/siren/1.wav", "2 files have this name: fold1/1.wav, fold2/1.wav"),
        (f"{AUTHOR}/siren/2.wav", "the file of this name is of another class: dog_bark/2.wav"),
    ],
)
def test_what_is_not_found(search, source, reason):
    found = search("fold1/1.wav", "fold2/1.wav", "dog_bark/2.wav")
    with pytest.raises(LookupError, match=reason):
        found.find(source, "siren")


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="there is no folder .*nowhere to find sounds in"):
        SourceSearch(tmp_path / "nowhere", LABELS)
