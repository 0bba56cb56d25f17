"""Cases say where their inputs are: the texts that handlers read, and whole cases under other names."""

import json
import pathlib
import re
import shutil
import zlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.golden import handlers  # noqa: F401  (registers every handler)
from tests.golden.inputs import SHARED, Reference, as_batch, cases_below, drawn, input_of, neighbour, references
from tests.golden.masked_patch_encoder import whole_noise
from tests.golden.readme import key_prefix, numbers, part, weight_rule
from tests.golden.registry import check_options, run_case

CASES = pathlib.Path(__file__).parent / "cases"

needs_shared_cases = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared folder is not here")


def write_case(folder: pathlib.Path, tensors: dict, readme: str = "", **config) -> pathlib.Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"case_kind": "test/case"} | config))
    (folder / "README.md").write_text(readme)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "io.safetensors")
    return folder


def copy_case(source: pathlib.Path, folder: pathlib.Path, names: dict[str, str] | None = None) -> pathlib.Path:
    """A case under another name, whose README refers to its neighbours by other names."""
    shutil.copytree(source, folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    readme = (folder / "README.md").read_text()
    for name, other in (names or {}).items():
        readme = readme.replace(name, other)
    (folder / "README.md").write_text(readme)
    return folder


def failures(path: pathlib.Path, root: pathlib.Path | None = None) -> list[str]:
    _, checks = run_case(path, root)
    assert checks
    return [f"{check.name}: {check.error} > {check.tolerance}" for check in checks if not check.passed]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (
            "Input: `fbank` of case `one_wav` with a leading batch axis -> (1,1,1024,128).",
            [Reference("fbank", "one_wav")],
        ),
        ("# Forward, real clip (`fbank` of one_wav), 3 clones", [Reference("fbank", "one_wav")]),
        ("# Real clip (`fbank` of clip7), 2 clones", [Reference("fbank", "clip7")]),
        ("Input: `fbank` of `clip`, first 640 frames, (1,1,640,128).", [Reference("fbank", "clip", None, 640)]),
        (
            "Input: the tensor `input` of case `tiny_7`; `input_corner` = input[0, :4, :4]",
            [Reference("input", "tiny_7")],
        ),
        ("(`fbank` of case other.wav-2 is the matching input).", [Reference("fbank", "other.wav-2")]),
        (
            "Source: clip 0 = `fbank` of case one_wav, clip 1 = `mel` of the other recording (case two_wav).",
            [Reference("fbank", "one_wav", 0), Reference("mel", "two_wav", 1)],
        ),
        (
            "clip 1 = `fbank` of case b, clip 0 = `x` of case a, clip 2 = `fbank` of case b, first 64 frames of each.",
            [Reference("x", "a", 0, 64), Reference("fbank", "b", 1, 64), Reference("fbank", "b", 2, 64)],
        ),
        ("`fbank` of case one_wav. Once more: `fbank` of case one_wav.", [Reference("fbank", "one_wav")]),
        ("`eat_features` = rows `eat_token_index` of a (513,768) array: class token first.", []),
        ("`grad.*` gradients of `loss`, `own` of `spec`, `student` (n,D,D) = value of `blocks.0.weight`", []),
    ],
)
def test_references(text, want):
    assert references(text, own_tensors={"spec"}) == want


def test_a_rule_with_a_word_for_its_seed():
    text = """Input by rule: `g = torch.Generator().manual_seed(zlib.crc32("some_name".encode()))`,
    `input = 0.25 * torch.randn(2, 48, 16, generator=g)`; `value = torch.randn(shape, generator=g) * 0.02`."""
    generator = torch.Generator().manual_seed(zlib.crc32(b"some_name"))
    torch.testing.assert_close(drawn(text), 0.25 * torch.randn(2, 48, 16, generator=generator), rtol=0, atol=0)


def test_a_rule_with_a_number_for_its_seed_and_offsets():
    text = "Source rule: torch.randn(3,1,32,8, generator seeded 91)*0.5 plus per-clip offsets (-0.25, 0.5, ...)[:B];"
    want = torch.randn(3, 1, 32, 8, generator=torch.Generator().manual_seed(91)) * 0.5
    want += torch.tensor([-0.25, 0.5, -0.25])[:, None, None, None]
    torch.testing.assert_close(drawn(text), want, rtol=0, atol=0)


def test_a_rule_whose_seed_stands_behind_it():
    text = "`input = torch.randn((1, 32, 8), generator=g)` with `g = torch.Generator().manual_seed(12)`"
    want = torch.randn(1, 32, 8, generator=torch.Generator().manual_seed(12))
    torch.testing.assert_close(drawn(text), want, rtol=0, atol=0)


def test_weights_by_rule_are_no_input():
    assert drawn("value = torch.randn(shape, generator=g)*0.02, plus 1.0 for LayerNorm weights") is None


def test_a_rule_without_seed():
    with pytest.raises(ValueError, match=r"'torch.randn\(2, 3, generator=g\)' draws from a generator, but no seed"):
        drawn("input = torch.randn(2, 3, generator=g)")


def test_an_input_from_a_text_of_the_configuration(tmp_path):
    clip = torch.randn(1, 20, 4)
    write_case(tmp_path / "clip_a", {"fbank": clip})
    case = write_case(
        tmp_path / "case", {"x": torch.zeros(1)}, input={"source": "`fbank` of `clip_a`, first 12 frames"}
    )
    assert torch.equal(input_of(case, {}, ["source"]), clip[:, :12])


def test_own_tensors_and_rules_come_before_references(tmp_path):
    readme = "`fbank` of case nowhere_1; torch.randn(2,8,4, generator seeded 3)"
    case = write_case(tmp_path / "case", {"x": torch.zeros(1)}, readme)
    own = torch.randn(2, 1, 8, 4)
    assert torch.equal(input_of(case, {"source": own}, ["source"]), own[:, 0])
    want = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(input_of(case, {}, ["source"]), want)


@pytest.mark.parametrize("shape", [(8, 4), (1, 8, 4), (1, 1, 8, 4), (1, 8, 4, 1)])
def test_batches(shape):
    assert as_batch(torch.zeros(shape)).shape == (1, 8, 4)


def test_neighbours_lie_beside_the_case_or_anywhere_below_the_root(tmp_path):
    case = write_case(tmp_path / "system" / "case", {"x": torch.zeros(1)}, "`fbank` of case the_clip")
    far = write_case(tmp_path / "other" / "deep" / "deeper" / "the_clip", {"fbank": torch.zeros(1, 2, 3)})
    with pytest.raises(ValueError, match=re.escape(f"{case} names the case the_clip, which is in none of")):
        neighbour(case, "the_clip")
    with cases_below(tmp_path):
        assert neighbour(case, "the_clip") == far
        beside = write_case(tmp_path / "system" / "the_clip", {"fbank": torch.ones(1, 2, 3)})
        assert neighbour(case, "the_clip") == beside
        assert input_of(case, {}, ["source"]).sum() == 6


@pytest.mark.parametrize(
    ("readme", "message"),
    [
        ("`fbank` of case missing_1", "names the case missing_1, which is in none of"),
        ("`mel` of case there_1", "names the tensor mel of .*there_1, which has only fbank"),
        ("`fbank` of case there_1, first 30 frames", "names the first 30 frames of fbank of .*there_1, which has 20"),
        ("Nothing about it.", r"holds none of the tensors \['source'\], and its README and config.json name neither"),
    ],
)
def test_inputs_that_cannot_be_found(tmp_path, readme, message):
    write_case(tmp_path / "there_1", {"fbank": torch.zeros(1, 20, 4)})
    case = write_case(tmp_path / "case", {"x": torch.zeros(1)}, readme)
    with pytest.raises(ValueError, match=message):
        input_of(case, {}, ["source"])


def test_weight_rules():
    text = """g = torch.Generator().manual_seed(zlib.crc32(key.encode())), value = torch.randn(shape,
    generator=g)*0.03, plus 2.0 for LayerNorm weights (every key ending in `norm.weight`, `gain.weight`).
    Key names carry the `my.` prefix."""
    rule = weight_rule(text)
    assert (rule.scale, rule.gain, rule.gains) == (0.03, 2.0, ("norm.weight", "gain.weight"))
    drawn_alone = torch.randn(3, generator=torch.Generator().manual_seed(zlib.crc32(b"a.norm.weight"))) * 0.03
    assert torch.equal(rule.value("a.norm.weight", torch.Size([3])), drawn_alone + 2.0)
    assert key_prefix(text) == "my."
    with pytest.raises(ValueError, match="states no rule for its weights"):
        weight_rule("Weights: `weights.safetensors`")


def test_recorded_parts(tmp_path):
    text = """slices: `a_part` = positions [:, ::29, :64]; `b_part` = every 32nd token after the norm, `c_part` =
    every 3rd token; `*_rows` = [0, 2:, :8], `head` = first 5 channels"""
    grid = torch.arange(2 * 100 * 70).reshape(2, 100, 70)
    assert torch.equal(grid[part(tmp_path, text, "a_part")], grid[:, ::29, :64])
    assert torch.equal(grid[part(tmp_path, text, "b_part")], grid[:, ::32])
    assert torch.equal(grid[part(tmp_path, text, "c_part")], grid[:, ::3])
    assert torch.equal(grid[part(tmp_path, text, "some_rows")], grid[0, 2:, :8])
    assert torch.equal(grid[part(tmp_path, text, "head")], grid[..., :5])
    with pytest.raises(ValueError, match="does not state which part x_part is"):
        part(tmp_path, "nothing", "x_part")


def test_numbers():
    assert numbers("(Adam lr 1e-3, betas (0.95,\n  0.999))", r"Adam lr N, betas \(N, N\)") == [1e-3, 0.95, 0.999]
    with pytest.raises(ValueError, match="do not state 'smoothing N'"):
        numbers("smooth", "smoothing N")


def test_unknown_options():
    check_options({"a": 1, "c": 3}, a=1, b=2)
    with pytest.raises(ValueError, match="recorded with a = 1: this package has only 2"):
        check_options({"a": 1}, a=2)


def test_masks_of_whole_steps():
    case = {"img_size": [8, 6], "patch_size": [2, 2], "masking_mode": "timestep"}
    steps = torch.tensor([[0.4, 0.1, 0.3, 0.2]])
    want = steps.repeat_interleave(3, dim=1)
    assert torch.equal(whole_noise(steps, case, 3), want)
    # One number a patch: the first one of a step counts.
    noise = torch.rand(1, 12)
    noise[:, ::3] = steps
    assert torch.equal(whole_noise(noise, case, 3), want)
    assert torch.equal(whole_noise(noise, case | {"masking_mode": "unstructured"}, 3), noise)
    with pytest.raises(ValueError, match="masking_mode is 'blocks': expected one of unstructured, timestep"):
        whole_noise(noise, case | {"masking_mode": "blocks"}, 3)


def move_tensor(case: pathlib.Path, name: str) -> torch.Tensor:
    """Takes a tensor out of a case."""
    tensors = load_file(case / "io.safetensors")
    moved = tensors.pop(name)
    save_file(tensors, case / "io.safetensors")
    return moved


def test_a_case_whose_clips_lie_in_another_one(tmp_path):
    case = copy_case(CASES / "classifier_tiny", tmp_path / "a_classifier")
    clips = move_tensor(case, "source").squeeze(1)
    longer = torch.cat([clips, torch.ones(len(clips), 32, clips.shape[2])], dim=1)
    write_case(tmp_path / "a_recording", {"logmel": longer})
    with (case / "README.md").open("a") as readme:
        readme.write(f"\nInput: `logmel` of case `a_recording`, first {clips.shape[1]} frames.\n")
    assert not failures(case)


def test_a_case_of_clips_from_two_others(tmp_path):
    case = copy_case(CASES / "stage1_forward_tiny", tmp_path / "deep" / "stage_one")
    first, second = move_tensor(case, "source")
    write_case(tmp_path / "clips" / "left_wav", {"fbank": first})
    write_case(tmp_path / "clips" / "right_wav", {"fbank": second})
    with (case / "README.md").open("a") as readme:
        readme.write(
            "\nSource: clip 0 = `fbank` of case left_wav, clip 1 = `fbank` of the other one (case right_wav)."
        )
    assert not failures(case, root=tmp_path)
    with pytest.raises(ValueError, match="names the case left_wav, which is in none of"):
        run_case(case)


def test_a_rule_is_read_and_not_remembered(tmp_path):
    """A source of another seed is another source, and the recorded corner of it tells."""
    case = copy_case(CASES / "stage2_forward_tiny", tmp_path / "second_stage")
    assert not failures(case)
    case = copy_case(CASES / "stage2_forward_tiny", tmp_path / "seed", {"seeded 63": "seeded 64"})
    assert any(failure.startswith("source:") for failure in failures(case))


@pytest.mark.parametrize(
    "name",
    [
        "ema_updates",
        "encoder_tiny",
        "mwmae_pretrain_mwmae_with_cls",
        "optimizer_groups",
        "ssam_mixer_d32",
        "ssast_mae_encoder_v2_head_micro",
        "ssast_pretrain_frame_micro",
    ],
)
def test_no_handler_knows_a_case_by_its_name(tmp_path, name):
    assert not failures(copy_case(CASES / name, tmp_path / f"{name[::-1]}_7"))


@needs_shared_cases
@pytest.mark.parametrize(
    ("case", "neighbours"),
    [
        ("sslam/stage2_forward_realaudio", ["fbank_inference_wav", "fbank_feature_wav"]),
        ("sslam/classifier_base_rule_527", ["fbank_inference_wav"]),
        ("sslam/released_checkpoint_features", ["fbank_feature_wav"]),
        ("ssast/tiny_frame_250", []),
    ],
)
def test_shared_cases_under_other_names(tmp_path, case, neighbours):
    renamed = {name: f"recording_{number}" for number, name in enumerate(neighbours)}
    source = SHARED / case
    for name, other in renamed.items():
        copy_case(source.parent / name, tmp_path / other)
    assert not failures(copy_case(source, tmp_path / "unseen", renamed))


@needs_shared_cases
def test_a_shared_case_without_its_neighbour(tmp_path):
    renamed = {"tiny_patch_400": "gone_400"}
    case = copy_case(SHARED / "ssast" / "base_patch_400", tmp_path / "unseen", renamed)
    with pytest.raises(ValueError, match="names the case gone_400, which is in none of"):
        run_case(case, tmp_path)
