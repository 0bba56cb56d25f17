import pytest

from modeling_sslam.annotations.whole_files import write_text_whole, written_whole


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "events.txt"
    with written_whole(path) as unfinished:
        unfinished.write_text("1")
        assert not path.exists()
        assert (unfinished.parent, unfinished.suffix) == (path.parent, path.suffix)
    assert path.read_text() == "1"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "events.txt"
    write_text_whole(path, "old\n")

    def fail():
        with written_whole(path) as unfinished:
            unfinished.write_text("half of the n")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    path = tmp_path / "events.txt"
    (tmp_path / ".unfinished-events.txt").write_text("a long rest of something else")
    write_text_whole(path, "new\r\n")
    assert path.read_bytes() == b"new\r\n"
    assert list(tmp_path.iterdir()) == [path]
