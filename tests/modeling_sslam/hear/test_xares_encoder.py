import pytest
import torch

from modeling_sslam.hear import xares_encoder
from modeling_sslam.hear.embeddings import get_timestamp_embeddings, load_model
from modeling_sslam.hear.xares_encoder import HearTimestampEncoder
from tests.labelled_clips import write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"))


def test_contract(checkpoint, monkeypatch):
    """What the checker of X-ARES asks for, and that the file has one encoder, made without arguments."""
    monkeypatch.setenv("XARES_MODEL", str(checkpoint))
    assert [name for name in dir(xares_encoder) if name.endswith("Encoder")] == ["HearTimestampEncoder"]
    encoder = HearTimestampEncoder()
    audio = torch.randn(2, 50_000, generator=torch.Generator().manual_seed(0))
    embeddings = encoder(audio)
    assert encoder.sampling_rate == 16_000
    assert encoder.hop_size_in_ms == 160
    assert embeddings.shape == (2, 20, encoder.output_dim)
    assert embeddings.shape[1] == pytest.approx(50_000 / 16 / encoder.hop_size_in_ms, abs=1)
    torch.testing.assert_close(embeddings, get_timestamp_embeddings(audio, load_model(checkpoint))[0])
    torch.testing.assert_close(encoder(audio[0]), embeddings[:1], rtol=0, atol=1e-5)


def test_model_must_be_named(monkeypatch):
    monkeypatch.delenv("XARES_MODEL", raising=False)
    with pytest.raises(ValueError, match="set the environment variable XARES_MODEL"):
        HearTimestampEncoder()


def test_checker_of_xares(checkpoint):
    checker = pytest.importorskip(
        "xares.audio_encoder_checker", reason="X-ARES is not installed: pip install --no-deps xares loguru"
    )
    assert checker.check_audio_encoder(HearTimestampEncoder(checkpoint))
