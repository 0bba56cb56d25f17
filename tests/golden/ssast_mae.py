"""Cases of the transformer baseline of SSAM and AxLSTM."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from safetensors.torch import load_file

from modeling_sslam import SsastMaeConfig
from modeling_sslam.layers_transformer import PreNormLayer
from modeling_sslam.official.file import rename_weights
from modeling_sslam.official.masked_patch import SSAST_MAE_BLOCK

from .masked_patch_encoder import encoder_checks, shared_fields
from .registry import Check, Tensors, case, close

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
HEAD_TOLERANCE = {"atol": 1e-4, "rtol": 1e-3}


def ssast_mae_config(case: dict) -> SsastMaeConfig:
    """The configuration of a case."""
    fields = {
        "num_attention_heads": case["num_heads"],
        "intermediate_size": int(case["embed_dim"] * case["mlp_ratio"]),
        "qkv_bias": case.get("qkv_bias", True),
        "layer_norm_eps": case.get("norm_eps", 1e-6),
    }
    if "decoder_depth" in case:
        fields |= {
            "prediction_num_layers": case["decoder_depth"],
            "prediction_hidden_size": case["decoder_embed_dim"],
            "prediction_num_attention_heads": case["decoder_num_heads"],
        }
    return SsastMaeConfig(**shared_fields(case), **fields)


@case("ssast_mae/encoder")
def encoder(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    yield from encoder_checks(path, config, ssast_mae_config(config), tensors, **TOLERANCE)


@case("ssast_mae/encoder_v2_head")
def encoder_with_transformer_head(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    yield from encoder_checks(path, config, ssast_mae_config(config), tensors, **HEAD_TOLERANCE)


@case("ssast_mae/block")
def block(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    sizes = SsastMaeConfig(
        hidden_size=config["dim"],
        num_attention_heads=config["num_heads"],
        intermediate_size=int(config["dim"] * config["mlp_ratio"]),
        qkv_bias=config["qkv_bias"],
        layer_norm_eps=config["norm_eps"],
    )
    layer = PreNormLayer(sizes).eval()
    layer.load_state_dict(rename_weights(load_file(path / "weights.safetensors"), SSAST_MAE_BLOCK))
    x = tensors["x"].clone().requires_grad_()
    for implementation in ("eager", "sdpa"):
        sizes._attn_implementation = implementation
        out = layer(x)
        attended, _ = layer.attention(layer.norm1(x))
        yield close(f"out {implementation}", out, tensors["out"], **TOLERANCE)
        yield close(f"attention {implementation}", attended, tensors["attn_out"], **TOLERANCE)
    yield close("feed-forward", layer.mlp(layer.norm2(x)), tensors["mlp_out"], **TOLERANCE)

    (out * tensors["cotangent"]).sum().backward()
    ours_to_official = [(ours, official) for official, ours in SSAST_MAE_BLOCK]
    gradients = rename_weights({name: p.grad for name, p in layer.named_parameters()}, ours_to_official)
    for name, gradient in (gradients | {"x": x.grad}).items():
        yield close(f"gradient of {name}", gradient, tensors[f"grad.{name}"], atol=1e-6, rtol=1e-3)
