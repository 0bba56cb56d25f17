# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of MW-MAE and of the plain masked autoencoder it is compared with."""

from __future__ import annotations

from typing import NamedTuple

from huggingface_hub.dataclasses import strict

from .configuration_audio_encoder import check_divides
from .configuration_patches import PatchConfig, PatchSize, check_whole_patches

NUM_GLOBAL_HEADS = 2
WindowSizes = int | list[int] | tuple[int, ...]


class TransformerSizes(NamedTuple):
    """What the blocks of encoder and decoder differ in.

    Attributes:
        window_sizes: tokens that each head sees at a time, 0 for all; one entry a head.
    """

    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int
    window_sizes: tuple[int, ...]
    hidden_act: str


@strict
class MwmaeConfig(PatchConfig):
    r"""
    Configuration of MW-MAE and MAE for audio (Yadav et al., "Masked Autoencoders with Multi-Window Local-Global
    Attention Are Better Audio Learners", ICLR 2024). The defaults build the published base MW-MAE, of patches of 4
    frames x 16 bins. The plain MAE is `MwmaeConfig(use_class_token=True, decoder_window_sizes=0)`. Fields that are not
    named here are those of `PatchConfig`.

    Args:
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act: the encoder.
        layer_norm_eps: of all norms in encoder and decoder.
        qkv_bias: whether the joint query/key/value projections have a bias.
        window_frames: frames of a pretraining crop, which have trained positions. Longer clips are encoded in windows
            of this length.
        use_class_token: put a learned token in front of the patches: MAE has one, MW-MAE none.
        encoder_window_sizes: windows of the encoder's heads, an ablation: a number for each head, or one for all; 0 is
            a head that attends to all tokens. In pretraining they cut the kept tokens, in the order of their noise.
        decoder_hidden_size, decoder_num_layers: of the decoder of pretraining.
        decoder_intermediate_size: None for four times its width.
        decoder_num_attention_heads: None for as many as `decoder_window_sizes` has, or as the published rule gives.
        decoder_window_sizes: windows of the decoder's heads, likewise. None for the published rule: one head for every
            divisor of the number of tokens but 1 and that number, and two that attend to all of them.
        shift_windows: in every other block, windows start half a window later (no published model).
        initializer_range: standard deviation of class token and mask token.

    Raises:
        ValueError: sizes or windows that do not divide.
    """

    model_type = "mwmae"
    auto_classes = {
        "AutoConfig": "configuration_mwmae.MwmaeConfig",
        "AutoModel": "modeling_mwmae.MwmaeModel",
        "AutoModelForPreTraining": "modeling_mwmae.MwmaeForPreTraining",
        "AutoModelForAudioClassification": "modeling_mwmae.MwmaeForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_mwmae.MwmaeForAudioFrameClassification",
    }
    window_padding = "reflected"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    patch_size: PatchSize = (4, 16)
    num_mel_bins: int = 80
    window_frames: int = 200
    use_class_token: bool = False
    encoder_window_sizes: WindowSizes = 0
    decoder_hidden_size: int = 384
    decoder_num_layers: int = 4
    decoder_intermediate_size: int | None = None
    decoder_num_attention_heads: int | None = None
    decoder_window_sizes: WindowSizes | None = None
    shift_windows: bool = False
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        check_whole_patches(self, "window_frames", "num_mel_bins")
        if self.hidden_size % 4 or self.decoder_hidden_size % 2:
            raise ValueError(
                f"positions need a hidden_size that is a multiple of 4, not {self.hidden_size}, and an even "
                f"decoder_hidden_size, not {self.decoder_hidden_size}"
            )
        self._resolve_windows()
        check_divides(self, hidden_size="num_attention_heads", decoder_hidden_size="decoder_num_attention_heads")
        if self.decoder_intermediate_size is None:
            self.decoder_intermediate_size = 4 * self.decoder_hidden_size

    def _resolve_windows(self) -> None:
        """Writes the windows out, one a head, and takes the decoder's heads from them where they are not given."""
        self.encoder_window_sizes = one_per_head(self.encoder_window_sizes, self.num_attention_heads)
        if self.decoder_window_sizes is None:
            self.decoder_window_sizes = published_windows(self.num_tokens)
        if self.decoder_num_attention_heads is None:
            given = self.decoder_window_sizes
            self.decoder_num_attention_heads = len(published_windows(self.window_patches) if given == 0 else given)
        self.decoder_window_sizes = one_per_head(self.decoder_window_sizes, self.decoder_num_attention_heads)
        for name, heads in (
            ("encoder_window_sizes", self.num_attention_heads),
            ("decoder_window_sizes", self.decoder_num_attention_heads),
        ):
            windows = getattr(self, name)
            if len(windows) != heads:
                raise ValueError(f"{name} {windows} are {len(windows)} windows for {heads} attention heads")
            if any(window < 0 or window and self.num_tokens % window for window in windows):
                raise ValueError(
                    f"{name} {windows} do not all divide {self.num_tokens} tokens ({self.window_patches} patches"
                    f"{' and a class token' if self.use_class_token else ''}): choose divisors, or 0 for all tokens"
                )

    @property
    def num_special_tokens(self) -> int:
        """The class token, where there is one."""
        return int(self.use_class_token)

    @property
    def longest_clip(self) -> int:
        """A window, which has trained positions."""
        return self.window_frames

    @property
    def window_patches(self) -> int:
        """Patches of a pretraining crop."""
        return self.num_patches(self.window_frames)

    @property
    def num_tokens(self) -> int:
        """Tokens of a pretraining crop, with the class token."""
        return self.num_special_tokens + self.window_patches

    @property
    def encoder_sizes(self) -> TransformerSizes:
        return TransformerSizes(
            self.hidden_size,
            self.num_hidden_layers,
            self.intermediate_size,
            self.encoder_window_sizes,
            self.hidden_act,
        )

    @property
    def decoder_sizes(self) -> TransformerSizes:
        return TransformerSizes(
            self.decoder_hidden_size,
            self.decoder_num_layers,
            self.decoder_intermediate_size,
            self.decoder_window_sizes,
            self.hidden_act,
        )

    @classmethod
    def tiny(cls, **overrides) -> MwmaeConfig:
        """The published tiny model."""
        return cls._sized(192, 12, 3, overrides)

    @classmethod
    def small(cls, **overrides) -> MwmaeConfig:
        """The small model of the official code."""
        return cls._sized(384, 12, 6, overrides)

    @classmethod
    def medium(cls, **overrides) -> MwmaeConfig:
        """The published medium model."""
        return cls._sized(512, 12, 8, overrides)

    @classmethod
    def base(cls, **overrides) -> MwmaeConfig:
        """The published base model, which is also what the defaults build."""
        return cls(**overrides)

    @classmethod
    def large(cls, **overrides) -> MwmaeConfig:
        """The published large model."""
        return cls._sized(1024, 24, 16, overrides)

    @classmethod
    def huge(cls, **overrides) -> MwmaeConfig:
        """The published huge model."""
        return cls._sized(1280, 32, 16, overrides)

    @classmethod
    def _sized(cls, hidden_size: int, num_layers: int, num_heads: int, overrides: dict) -> MwmaeConfig:
        sizes = {
            "hidden_size": hidden_size,
            "num_hidden_layers": num_layers,
            "num_attention_heads": num_heads,
            "intermediate_size": 4 * hidden_size,
        }
        return cls(**(sizes | overrides))


def published_windows(num_tokens: int) -> tuple[int, ...]:
    """Windows of the published models: the divisors of the number of tokens between 1 and it, and two global heads.

    For example 250 tokens: 2, 5, 10, 25, 50, 125, 0, 0.
    """
    divisors = (size for size in range(2, num_tokens // 2 + 1) if num_tokens % size == 0)
    return (*divisors, *(0,) * NUM_GLOBAL_HEADS)


def one_per_head(windows: WindowSizes, num_heads: int) -> tuple[int, ...]:
    """Window sizes written out, one a head."""
    return (windows,) * num_heads if isinstance(windows, int) else tuple(windows)


__all__ = ["MwmaeConfig"]
