"""AxLSTM's blocks; what it shares with SSAM is in `test_modeling_masked_patch.py`."""

import pytest
import torch

from modeling_sslam import AxlstmConfig, AxlstmForPreTraining, AxlstmModel
from modeling_sslam.layers_mlstm import BlockDiagonalLinear, MlstmLayer, OffsetNorm

NUM_MEL_BINS = 32


def tiny_config(**overrides) -> AxlstmConfig:
    return AxlstmConfig(**({"hidden_size": 32, "num_hidden_layers": 2, "num_mel_bins": NUM_MEL_BINS} | overrides))


def clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, NUM_MEL_BINS, generator=generator) for length in lengths]


@pytest.mark.parametrize(
    ("size", "trainable", "blocks"),
    [("tiny", 2_917_408, 2_854_752), ("small", 11_216_800, 11_017_824), ("base", 43_962_016, 43_269_216)],
)
def test_published_sizes(size, trainable, blocks):
    with torch.device("meta"):
        model = AxlstmForPreTraining(getattr(AxlstmConfig, size)())
    assert sum(parameter.numel() for parameter in model.parameters()) == trainable
    assert sum(parameter.numel() for parameter in model.encoder.layers.parameters()) == blocks


def test_every_other_layer_reads_from_the_end():
    tokens = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 4] *= -1.0
    model = AxlstmModel(tiny_config(num_hidden_layers=3))
    for index, layer in enumerate(model.layers):
        moved = (layer(tokens) - layer(changed)).abs().amax(dim=(0, 2)) > 1e-6
        untouched = moved[:4] if index % 2 == 0 else moved[5:]
        assert not untouched.any()
        assert moved.sum() == 5


def test_the_class_token_sees_the_clip():
    model = AxlstmModel(tiny_config()).eval()
    first, second = (clip[None] for clip in clips(40, 40))
    assert not torch.allclose(model(first).class_hidden_state, model(second).class_hidden_state, atol=1e-3)


def test_padding_is_left_behind_when_reading_from_the_end():
    """A reversed layer starts at the last real token, not in the padding."""
    layer = AxlstmModel(tiny_config()).layers[1]
    tokens = torch.randn(1, 9, 32)
    order = torch.tensor([[5, 4, 3, 2, 1, 0, 6, 7, 8]])
    torch.testing.assert_close(layer(tokens, order)[:, :6], layer(tokens[:, :6]), atol=1e-6, rtol=0)


def test_norms_hold_what_their_gain_exceeds_one_by():
    norm = OffsetNorm(8, eps=1e-5, num_groups=2)
    norm.weight.data = torch.zeros(8)
    tokens = torch.randn(3, 8)
    want = torch.nn.functional.group_norm(tokens, 2, eps=1e-5)
    torch.testing.assert_close(norm(tokens), want)
    norm.weight.data += 0.5
    torch.testing.assert_close(norm(tokens), 1.5 * want)


def test_block_diagonal_maps_by_hand():
    linear = BlockDiagonalLinear(4, 2)
    linear.weight.data = torch.tensor([[[1.0, 2.0], [0.0, 1.0]], [[3.0, 0.0], [1.0, -1.0]]])
    assert linear(torch.tensor([[[1.0, 1.0, 2.0, 5.0]]])).flatten().tolist() == [3.0, 1.0, 6.0, -3.0]


def test_long_clips_are_computed_in_chunks_with_the_same_result():
    (clip,) = clips(200)
    models = [AxlstmModel(tiny_config(chunk_size=size)).eval() for size in (8, 1000)]
    models[1].load_state_dict(models[0].state_dict())
    with torch.no_grad():
        chunked, parallel = (model(clip[None]).last_hidden_state for model in models)
    torch.testing.assert_close(chunked, parallel, atol=1e-5, rtol=1e-4)


def test_autocast_multiplies_in_bfloat16_and_keeps_residual_stream_and_cell_in_float32():
    torch.manual_seed(0)
    model = AxlstmModel(tiny_config()).eval()
    values, cells = torch.stack(clips(40, 40)), []
    for layer in model.layers:
        layer.layer.mlstm_cell.outnorm.register_forward_pre_hook(lambda norm, inputs: cells.append(inputs[0].dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = model(values, output_hidden_states=True)
        projected = model.layers[0].layer.proj_up(output.hidden_states[0])
    assert {states.dtype for states in output.hidden_states} == {torch.float32}
    assert (cells, projected.dtype) == ([torch.float32] * 2, torch.bfloat16)
    want = model(values).last_hidden_state
    assert (output.last_hidden_state - want).norm() < 0.02 * want.norm()


def test_bfloat16_weights_work_without_autocast():
    model = AxlstmModel(tiny_config()).eval().bfloat16()
    assert model(torch.stack(clips(40, 40)).bfloat16()).last_hidden_state.dtype == torch.bfloat16


@pytest.mark.parametrize("chunk_size", [1000, 32], ids=["parallel", "chunks"])
def test_against_the_package_xlstm(chunk_size):
    """The layer of the authors of xLSTM has the same parameters."""
    oracle = pytest.importorskip(
        "xlstm.blocks.mlstm.layer",
        reason="xlstm is not installed: pip install --no-deps xlstm==2.0.6 mlstm_kernels==2.0.6 dacite==1.9.2",
    )
    torch.manual_seed(0)
    settings = oracle.mLSTMLayerConfig(
        embedding_dim=64, context_length=251, proj_factor=2.0, num_heads=4, qkv_proj_blocksize=4, conv1d_kernel_size=4
    )
    theirs = oracle.mLSTMLayer(settings)
    for parameter in theirs.parameters():  # the gates' weights are zero at first
        parameter.data += 0.05 * torch.randn(parameter.shape)
    ours = MlstmLayer(64, 128, 4, 4, conv_kernel=4, norm_eps=1e-5, chunk_size=chunk_size)
    ours.load_state_dict({our_name(name): tensor for name, tensor in theirs.state_dict().items()})
    tokens = torch.randn(2, 251, 64)
    got, want = ours(tokens), theirs(tokens)
    torch.testing.assert_close(got, want, atol=2e-5, rtol=0)
    got.square().sum().backward()
    want.square().sum().backward()
    gradients = {our_name(name): parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        largest = gradients[name].abs().max()
        assert torch.allclose(parameter.grad, gradients[name], atol=2e-5 * largest, rtol=0), name


def our_name(theirs: str) -> str:
    return theirs.replace("conv1d.conv.", "conv1d.")
