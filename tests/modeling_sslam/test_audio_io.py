import io
import types

import numpy as np
import pytest
import soundfile
import torch

from modeling_sslam.audio_io import AudioDecodingError, decode_audio, load_audio, to_mono

RATE = 22050
STEREO = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 3000)).astype(np.float32)
MONO = torch.from_numpy(STEREO.mean(axis=0))
QUANTISED = 2 / 32768  # two 16-bit channels


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "clip.flac"
    soundfile.write(file, STEREO.T, RATE)
    return file


class Decoder:
    """The part of torchcodec's AudioDecoder, which `datasets` returns, that carries all channels."""

    def get_all_samples(self):
        return types.SimpleNamespace(data=torch.from_numpy(STEREO), sample_rate=RATE)


@pytest.mark.parametrize(
    "make_source",
    [
        lambda path: path,
        str,
        lambda path: path.read_bytes(),
        lambda path: {"path": str(path), "bytes": None},
        lambda path: {"path": "elsewhere.flac", "bytes": path.read_bytes()},
        lambda path: {"array": STEREO, "sampling_rate": RATE},
        lambda path: {"path": None, "array": STEREO.astype(np.float64), "sampling_rate": RATE},
        lambda path: {"raw": torch.from_numpy(STEREO), "sampling_rate": RATE},
        lambda path: {"array": MONO.tolist(), "sampling_rate": RATE},
        lambda path: Decoder(),
    ],
)
def test_every_source_gives_the_channel_average(path, make_source):
    waveform, rate = decode_audio(make_source(path))
    assert rate == RATE
    assert waveform.dtype == torch.float32
    assert torch.allclose(waveform, MONO, atol=QUANTISED)


def test_16_bit_files_are_divided_by_32768():
    file = io.BytesIO()
    soundfile.write(file, np.array([16384, -32768], dtype=np.int16), 16000, format="WAV")
    assert decode_audio(file.getvalue())[0].tolist() == [0.5, -1.0]


def test_load_audio_resamples_after_averaging(path):
    waveform = load_audio(path, 16000)
    assert len(waveform) == -(-3000 * 16000 // RATE)
    assert torch.allclose(waveform, load_audio({"array": MONO, "sampling_rate": RATE}, 16000), atol=QUANTISED)


def test_damaged_missing_and_empty_files_are_named(tmp_path):
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"no audio at all")
    with pytest.raises(AudioDecodingError, match=r"Cannot decode .*damaged\.wav: .*Format not recognised"):
        decode_audio(damaged)
    with pytest.raises(AudioDecodingError, match=r"Cannot decode stream/7\.flac"):
        decode_audio({"path": "stream/7.flac", "bytes": b"damaged"})
    with pytest.raises(AudioDecodingError, match=r"Cannot decode .*missing\.wav"):
        decode_audio(tmp_path / "missing.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(AudioDecodingError, match=r"empty\.wav: it holds no samples"):
        decode_audio(tmp_path / "empty.wav")


def test_objects_that_hold_no_audio_are_refused():
    with pytest.raises(ValueError, match="needs a 'sampling_rate' beside it"):
        decode_audio({"array": MONO})
    with pytest.raises(ValueError, match=r"got the keys \['text'\]"):
        decode_audio({"text": "hello"})
    with pytest.raises(TypeError, match="Cannot read audio from int"):
        decode_audio(3)


def test_to_mono_refuses_integers_and_wrong_shapes():
    with pytest.raises(ValueError, match=r"got torch\.int16: divide 16-bit integer samples by 32768"):
        to_mono(np.zeros(100, dtype=np.int16))
    with pytest.raises(ValueError, match=r"\(samples,\) or \(channels, samples\), got \(1, 2, 100\)"):
        to_mono(torch.zeros(1, 2, 100))
    with pytest.raises(ValueError, match=r"shape \(100, 2\) has more channels than samples"):
        to_mono(torch.zeros(100, 2))
