import functools
import http.server
import io
import threading
import types

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from modeling_sslam import SslamConfig, SslamFeatureExtractor, SslamForAudioClassification
from modeling_sslam.pipelines.audio_classification import SslamAudioClassificationPipeline

RATE = 16000
NUM_LABELS = 7
SCORE_TOLERANCE = 1e-4  # of 24-bit samples

CLIP = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32) * np.linspace(
    0, 1, 3 * RATE, dtype="f4"
)
STEREO = np.stack([CLIP * 1.5, CLIP * 0.5])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = SslamConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        decoder_hidden_size=32,
        num_labels=NUM_LABELS,
        initializer_range=0.5,
        problem_type="multi_label_classification",
    )
    SslamForAudioClassification(config).save_pretrained(folder)
    SslamFeatureExtractor(target_length=304).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(folder):
    return pipeline("audio-classification", model=str(folder), pipeline_class=SslamAudioClassificationPipeline)


@pytest.fixture(scope="module")
def stock(folder):
    return pipeline("audio-classification", model=str(folder))


def flac(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, RATE, format="FLAC", subtype="PCM_24")
    return file.getvalue()


def assert_same(got, expected, tolerance=SCORE_TOLERANCE):
    assert {entry["label"] for entry in got} == {entry["label"] for entry in expected}
    scores = {entry["label"]: entry["score"] for entry in expected}
    for entry in got:
        assert entry["score"] == pytest.approx(scores[entry["label"]], abs=tolerance)


def windows_of(classifier, starts, seconds):
    """(windows, labels) probabilities, each window classified alone by the model."""
    windows = [CLIP[int(start * RATE) : int((start + seconds) * RATE)] for start in starts]
    features = classifier.feature_extractor(windows, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        return classifier.model(**features).logits.sigmoid()


def scores_by_label(result, classifier):
    by_label = {entry["label"]: entry["score"] for entry in result}
    return torch.tensor([by_label[classifier.model.config.id2label[label]] for label in range(NUM_LABELS)])


@pytest.mark.parametrize("kwargs", [{}, {"top_k": 3}, {"top_k": None}, {"function_to_apply": "softmax"}])
def test_arrays_give_what_the_stock_pipeline_gives(classifier, stock, kwargs):
    assert classifier(CLIP, **kwargs) == stock(CLIP, **kwargs)


def test_the_stock_pipeline_reads_arrays_with_their_rate(stock):
    assert stock({"array": CLIP, "sampling_rate": RATE}) == stock(CLIP)


def test_scores_are_sigmoids_best_first(classifier):
    scores = [entry["score"] for entry in classifier(CLIP, top_k=NUM_LABELS)]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) != pytest.approx(1.0, abs=0.1)
    logits = scores_by_label(classifier(CLIP, function_to_apply="none"), classifier)
    assert torch.allclose(scores_by_label(classifier(CLIP), classifier), logits.sigmoid(), atol=1e-6)


@pytest.mark.parametrize(
    "make_input",
    [
        lambda path: path,
        lambda path: str(path),
        lambda path: path.read_bytes(),
        lambda path: {"path": str(path), "bytes": None},
        lambda path: {"array": STEREO, "sampling_rate": RATE},
        lambda path: {"array": torch.from_numpy(STEREO), "sampling_rate": RATE},
        lambda path: {"raw": CLIP, "sampling_rate": RATE},
        lambda path: torch.from_numpy(CLIP),
        lambda path: STEREO,
        lambda path: types.SimpleNamespace(
            get_all_samples=lambda: types.SimpleNamespace(data=torch.from_numpy(STEREO), sample_rate=RATE)
        ),
    ],
)
def test_what_the_stock_pipeline_lacks(classifier, tmp_path, make_input):
    path = tmp_path / "clip.flac"
    path.write_bytes(flac(STEREO))
    assert_same(classifier(make_input(path)), classifier(CLIP))


def test_another_rate_is_resampled(classifier):
    doubled = {"array": np.repeat(CLIP, 2), "sampling_rate": 2 * RATE}
    expected = classifier.feature_extractor(doubled["array"], sampling_rate=2 * RATE, return_tensors="pt")
    with torch.no_grad():
        scores = classifier.model(**expected).logits.sigmoid()[0]
    assert torch.allclose(scores_by_label(classifier(doubled), classifier), scores, atol=1e-5)


def test_dataset_items_one_by_one_and_as_a_stream(classifier):
    rows = [
        {"audio": {"bytes": flac(samples), "path": None}} for samples in (STEREO, STEREO[:, ::-1], STEREO[:, :RATE])
    ]
    dataset = Dataset.from_list(rows).cast_column("audio", Audio(decode=False))
    one_by_one = [classifier(row["audio"]) for row in dataset]
    streamed = list(classifier(KeyDataset(dataset, "audio"), batch_size=2))
    for got, expected in zip(streamed, one_by_one, strict=True):
        assert_same(got, expected, tolerance=1e-6)
    assert one_by_one[0] != one_by_one[1]


def test_a_url_is_downloaded(classifier, tmp_path):
    (tmp_path / "clip.flac").write_bytes(flac(STEREO))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = classifier(f"http://127.0.0.1:{server.server_port}/clip.flac")
        server.shutdown()
    assert_same(result, classifier(CLIP))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("merge", ["mean", "max"])
def test_windows_are_classified_alone_and_merged(classifier, merge, batch_size):
    result = classifier(CLIP, window_s=1, hop_s=0.75, merge=merge, batch_size=batch_size)
    probabilities = windows_of(classifier, starts=[0, 0.75, 1.5, 2], seconds=1)
    expected = probabilities.mean(dim=0) if merge == "mean" else probabilities.amax(dim=0)
    assert torch.allclose(scores_by_label(result, classifier), expected, atol=1e-5)


def test_windows_of_several_recordings_share_batches(classifier):
    recordings = [CLIP, CLIP[:RATE], CLIP[RATE:]]
    together = classifier(recordings, window_s=1, batch_size=3)
    for got, recording in zip(together, recordings, strict=True):
        assert_same(got, classifier(recording, window_s=1), tolerance=1e-6)


def test_windows_can_be_set_at_construction(folder, classifier):
    windowed = pipeline(
        "audio-classification",
        model=str(folder),
        pipeline_class=SslamAudioClassificationPipeline,
        window_s=1,
        hop_s=0.5,
        merge="max",
    )
    assert_same(windowed(CLIP), classifier(CLIP, window_s=1, hop_s=0.5, merge="max"), tolerance=1e-6)


def test_bad_arguments_and_inputs_are_refused(classifier):
    with pytest.raises(
        ValueError, match=r"window_s=20 is not within 0 and 3\.04 s, which the extractor's target_length"
    ):
        classifier(CLIP, window_s=20)
    with pytest.raises(ValueError, match="Windows of 16000 samples cannot start every 32000 samples"):
        classifier(CLIP, window_s=1, hop_s=2)
    with pytest.raises(ValueError, match="Unknown merge 'median'"):
        classifier(CLIP, window_s=1, merge="median")
    with pytest.raises(ValueError, match="Invalid value for `function_to_apply`"):
        classifier(CLIP, function_to_apply="relu")
    with pytest.raises(ValueError, match="A clip has 0 samples"):
        classifier(np.zeros(0, dtype=np.float32))
    with pytest.raises(ValueError, match="Cannot decode 6 bytes"):
        classifier(b"broken")


def test_a_folder_without_extractor_is_refused(tmp_path, folder):
    SslamForAudioClassification.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no feature extractor was found beside this sslam model: pass"):
        pipeline("audio-tagging", model=str(tmp_path))
