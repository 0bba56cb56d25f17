"""Classifiers of clips and of time steps, by hand; that all families have them is seen in `tests/contracts/`."""

import copy

import pytest
import torch
import transformers
from torch import nn

from modeling_sslam import (
    SpectrogramCnnConfig,
    SslamConfig,
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
)
from modeling_sslam.encoder import Tokens
from modeling_sslam.heads import ClipClassifier, FrameClassifier, PooledClassifier, frame_loss
from tests.families import FAMILIES, SSLAM

POOLINGS = ("cls", "mean", "attentive", "linear_softmax")
LOGITS = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]], [[0.0, 0.0], [-1.0, 3.0], [0.5, 0.0]]])


@pytest.fixture
def tokens(generator) -> Tokens:
    """Two special tokens, and four others of which the second clip has three; the last one is loud garbage."""
    content = torch.randn(2, 4, 32, generator=generator)
    mask = torch.tensor([[True] * 4, [True] * 3 + [False]])
    return Tokens(torch.randn(2, 2, 32, generator=generator), content.masked_fill(~mask[..., None], 99.0), mask)


def classifier(pooling: str) -> ClipClassifier:
    torch.manual_seed(0)
    return ClipClassifier(SslamConfig(**(SSLAM | {"pooling": pooling, "classifier_norm_eps": 0.1})))


def test_cls_is_the_mean_of_the_special_tokens(tokens):
    pooled = classifier("cls").pool(tokens)
    torch.testing.assert_close(pooled, (tokens.special[:, 0] + tokens.special[:, 1]) / 2)


def test_mean_is_over_real_tokens(tokens):
    pooled = classifier("mean").pool(tokens)
    torch.testing.assert_close(pooled[0], tokens.content[0].sum(dim=0) / 4)
    torch.testing.assert_close(pooled[1], tokens.content[1, :3].sum(dim=0) / 3)


def test_attentive_weighs_real_tokens_by_a_learned_score(tokens):
    head = classifier("attentive")
    pooled = head.pool(tokens)
    for row, length in enumerate((4, 3)):
        real = tokens.content[row, :length]
        weights = head.pooler.score(real).exp()
        torch.testing.assert_close(pooled[row], (weights / weights.sum() * real).sum(dim=0))


def test_linear_softmax_weighs_probabilities_by_themselves(tokens):
    pooled = classifier("linear_softmax").pool(tokens)
    for row, length in enumerate((4, 3)):
        p = tokens.content[row, :length].sigmoid()
        torch.testing.assert_close(pooled[row].sigmoid(), p.square().sum(dim=0) / p.sum(dim=0))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_logits_are_linear_in_the_normalised_pooled_tokens(tokens, pooling):
    head = classifier(pooling)
    pooled = head.pool(tokens)
    normalised = nn.functional.layer_norm(pooled, (32,), eps=0.1)
    torch.testing.assert_close(head(tokens), normalised @ head.dense.weight.T + head.dense.bias)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_only_attentive_pooling_has_weights(pooling):
    names = {name for name, _ in classifier(pooling).named_parameters()}
    own = {"pooler.score.weight", "pooler.score.bias"} if pooling == "attentive" else set()
    assert names == own | {"norm.weight", "norm.bias", "dense.weight", "dense.bias"}


def test_a_pooled_classifier_is_linear_in_the_clip_embedding(tokens, generator):
    """Dropout, which is off in evaluation, and no norm; other poolings than the mean see the tokens."""
    config = SpectrogramCnnConfig(architecture="resnet18", width_multiplier=1 / 16, classifier_dropout=0.5)
    head, embedding = PooledClassifier(config).eval(), torch.randn(2, 32, generator=generator)
    torch.testing.assert_close(head(tokens, embedding), embedding @ head.dense.weight.T + head.dense.bias)
    assert not torch.equal(head.train()(tokens, embedding), head.eval()(tokens, embedding))
    config.pooling = "linear_softmax"
    pooled = ClipClassifier.pool(head, tokens)
    torch.testing.assert_close(head(tokens, embedding), pooled @ head.dense.weight.T + head.dense.bias)


def test_frame_classifier_is_linear_in_the_normalised_step(generator):
    torch.manual_seed(0)
    head = FrameClassifier(SslamConfig(**SSLAM, classifier_norm_eps=0.1))
    steps = torch.randn(2, 5, 32, generator=generator)
    normalised = nn.functional.layer_norm(steps, (32,), eps=0.1)
    torch.testing.assert_close(head(steps), normalised @ head.dense.weight.T + head.dense.bias)


def test_frame_logits_are_of_the_mean_over_frequency(generator):
    torch.manual_seed(0)
    model = SslamForAudioFrameClassification(SslamConfig(**SSLAM)).eval()
    clips = torch.randn(2, 64, 32, generator=generator)
    with torch.no_grad():
        patches = model.sslam(clips).last_hidden_state[:, 1:].unflatten(1, (4, 2))
        torch.testing.assert_close(
            model(clips).logits, model.frame_classifier((patches[:, :, 0] + patches[:, :, 1]) / 2)
        )


def test_frame_loss_of_classes_by_hand():
    labels = torch.tensor([[0, 1, -100], [1, -100, 0]])
    picked = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 2, 0)]
    wanted = torch.stack(
        [LOGITS[row, step].exp().sum().log() - LOGITS[row, step, c] for row, step, c in picked]
    ).mean()
    torch.testing.assert_close(frame_loss(LOGITS, labels, None), wanted)


def test_frame_loss_of_several_classes_at_a_time_by_hand():
    targets = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [[0.5, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    p = LOGITS.sigmoid()
    wanted = -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()
    torch.testing.assert_close(frame_loss(LOGITS, targets, None), wanted)


@pytest.mark.parametrize("targets", [torch.tensor([[0, 1, 1], [1, 1, 0]]), (LOGITS > 0).float()], ids=["int", "float"])
def test_padded_steps_have_no_part_in_the_frame_loss(targets):
    """The loss is the mean over real steps, not over clips."""
    is_real = torch.tensor([[True] * 3, [True, False, False]])
    parts = frame_loss(LOGITS[:1], targets[:1], None), frame_loss(LOGITS[1:, :1], targets[1:, :1], None)
    torch.testing.assert_close(frame_loss(LOGITS, targets, is_real), (3 * parts[0] + parts[1]) / 4)
    changed = LOGITS.clone()
    changed[1, 1:] = 1e3
    torch.testing.assert_close(frame_loss(changed, targets, is_real), frame_loss(LOGITS, targets, is_real))


def test_frame_loss_is_in_float32():
    assert frame_loss(LOGITS.bfloat16(), torch.zeros(2, 3, dtype=torch.long), None).dtype == torch.float32
    assert frame_loss(LOGITS.bfloat16(), LOGITS.bfloat16().sigmoid(), None).dtype == torch.float32


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, dtype=torch.long), torch.zeros(2, 3), torch.zeros(1, 3, 2)],
)
def test_frame_labels_must_fit(labels):
    with pytest.raises(ValueError, match=r"labels has shape .*, but the logits are \(2, 3, 2\): give one class index"):
        frame_loss(LOGITS, labels, None)


def test_frame_loss_of_a_model_is_that_of_its_real_steps(generator):
    torch.manual_seed(0)
    model = SslamForAudioFrameClassification(SslamConfig(**SSLAM)).eval()
    clips, labels = torch.randn(2, 64, 32, generator=generator), torch.tensor([[0, 1, 2, 1], [2, 2, 0, 0]])
    mask = (torch.arange(64) < torch.tensor([[64], [40]])).int()  # the third step of the second clip is not whole
    output = model(clips, attention_mask=mask, labels=labels)
    is_real = torch.tensor([[True] * 4, [True, True, False, False]])
    torch.testing.assert_close(output.loss, frame_loss(output.logits, labels, is_real))


def test_clips_with_several_labels_have_a_binary_loss(generator):
    torch.manual_seed(0)
    model = SslamForAudioClassification(SslamConfig(**SSLAM, problem_type="multi_label_classification")).eval()
    clips, labels = torch.randn(2, 64, 32, generator=generator), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    output = model(clips, labels=labels)
    wanted = nn.functional.binary_cross_entropy_with_logits(output.logits, labels)
    torch.testing.assert_close(output.loss, wanted)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_state_dict_names_encoder_and_head(name):
    """As saved files have them; the hub's layout, which EAT is saved in, has names of its own."""
    config = copy.deepcopy(FAMILIES[name].config)
    for auto_class, head in (
        ("AutoModelForAudioClassification", "classifier"),
        ("AutoModelForAudioFrameClassification", "frame_classifier"),
    ):
        model = getattr(transformers, auto_class).from_config(config)
        beginnings = {parameter.partition(".")[0] for parameter in model.state_dict()}
        assert beginnings == {model.base_model_prefix, head}
        own = {parameter for parameter in model.state_dict() if parameter.startswith(head)}
        has_norm = not isinstance(getattr(model, head), PooledClassifier)
        parts = ("norm", "dense") if has_norm else ("dense",)
        assert own == {f"{head}.{part}.{kind}" for part in parts for kind in ("weight", "bias")}
        assert getattr(model, head).dense.out_features == config.num_labels
        assert not has_norm or getattr(model, head).norm.eps == config.classifier_norm_eps
