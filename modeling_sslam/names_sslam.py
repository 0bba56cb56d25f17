"""Parameter names of SSLAM and EAT: the authors' and ours, one table that is read in both directions.

Source: names of the published checkpoints (SSLAM, ICLR 2025; EAT, IJCAI 2024), less what a layout puts before them.
"""

# (short official name, our name); `#` is the number of a block. A name may be followed by `.weight` or `.bias`.
ENCODER_NAMES = (
    ("extra_tokens", "embeddings.class_token"),
    ("local_encoder.proj", "embeddings.patch_embeddings.projection"),
    ("fixed_positional_encoder.positions", "embeddings.position_embeddings"),
    ("pre_norm", "embeddings.norm"),
    ("blocks.#.attn.qkv", "layers.#.attention.qkv"),
    ("blocks.#.attn.proj", "layers.#.attention.out_proj"),
    ("blocks.#.norm1", "layers.#.norm1"),
    ("blocks.#.mlp.fc1", "layers.#.mlp.fc1"),
    ("blocks.#.mlp.fc2", "layers.#.mlp.fc2"),
    ("blocks.#.norm2", "layers.#.norm2"),
)
DECODER_NAMES = (
    ("decoder.blocks.#.0", "decoder.layers.#.conv"),
    ("decoder.proj", "decoder.projection"),
)
HEAD_NAMES = (
    ("fc_norm", "classifier.norm"),
    ("head", "classifier.dense"),
)
ENCODER_PREFIX = "sslam."
HUB_PREFIX = "model."
