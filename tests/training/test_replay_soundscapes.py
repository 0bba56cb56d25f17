import json

from modeling_sslam.annotations.jams import save_jams
from tests.training.soundscapes.random_soundscapes import random_soundscape
from tests.training.soundscapes.user_sounds import RATE, write_user_sounds
from training.replay_soundscapes import main
from training.soundscapes.jams import to_jams


def test_the_summary_counts_what_was_made_and_names_what_was_left_out(tmp_path, capsys):
    events, background = write_user_sounds(tmp_path)
    soundscapes = {str(seed): random_soundscape(seed, stretched=False, duration=1.0) for seed in range(5)}
    for name, soundscape in soundscapes.items():
        save_jams(tmp_path / "jams" / f"{name}.jams", to_jams(soundscape, 44100))
    (events / "Dog" / "1.wav").unlink()
    lacking = {
        name: ["Dog/1.wav"]
        for name, soundscape in soundscapes.items()
        if any(sound.source_file == "Dog/1.wav" for sound in soundscape.sounds)
    }
    assert 0 < len(lacking) < len(soundscapes)  # or the rest tells nothing
    command = [tmp_path / "jams", tmp_path / "out", "--events", events, "--background", background]
    main([*map(str, command), "--sampling-rate", str(RATE), "--skip-missing"])
    assert json.loads(capsys.readouterr().out) == {
        "made": len(soundscapes) - len(lacking),
        "already_there": 0,
        "left_out": lacking,
        "num_left_out": len(lacking),
    }
    assert {path.stem for path in (tmp_path / "out").glob("*.flac")} == set(soundscapes) - set(lacking)
