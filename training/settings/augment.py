"""Section `augment` of a fine-tuning recipe; `training/data/augment.py` is what it switches on."""

from __future__ import annotations

import dataclasses

MIXUP_PAIRS = ("mirror", "permutation")


@dataclasses.dataclass
class AugmentArguments:
    """Section `augment` of a recipe: what happens to the training clips. The defaults leave them as they are.

    Attributes:
        waveform_mixup: share of the clips into which another one, drawn from all, is mixed before anything else.
        roll: circular shift and gain of the waveform.
        frequency_mask, time_mask: widest SpecAugment band in mel bins and frames, filled before normalisation (SSAST).
        noise: noise and shift of the spectrogram.
        minimum_padding: share of the clips shorter than `data.target_length` that are filled with their smallest value
            instead of being repeated; only where `data.fit` is "crop" (GISE-51).
        random_masks: most bands of each axis that are filled with the smallest value of the clip, after it was cut
            (GISE-51); 0 for none.
        random_masks_probability: share of the clips that have such bands.
        random_mask_bins, random_mask_frames: widest such band as a share of its axis.
        mixup_alpha: of the Beta distribution of the mixing weight of spectrograms; 0 for none.
        mixup_probability: share of the batches whose spectrograms are mixed.
        mixup_pairs: "mirror", each clip with its mirror in the batch and one weight for all (SSLAM), or "permutation",
            each with any one of the batch and a weight of its own (GISE-51).
        mixup_seed: of the weights of "permutation", which are then the same in every batch, as the reference has it
            (with 1233); null for new ones.
        mixup_inputs: whether inputs are mixed too. Without that only the labels are, which are then noisy: what the
            reference of GISE-51 does on ESC-50.
        mask_ratio: widest SpecAugment band as a share of its axis, filled after normalisation (SSLAM); 0 for none.
    """

    waveform_mixup: float = 0.0
    roll: bool = False
    frequency_mask: int = 0
    time_mask: int = 0
    noise: bool = False
    minimum_padding: float = 0.0
    random_masks: int = 0
    random_masks_probability: float = 0.5
    random_mask_bins: float = 0.15
    random_mask_frames: float = 0.2
    mixup_alpha: float = 0.0
    mixup_probability: float = 0.9
    mixup_pairs: str = "mirror"
    mixup_seed: int | None = None
    mixup_inputs: bool = True
    mask_ratio: float = 0.0

    def __post_init__(self):
        for name in ("waveform_mixup", "minimum_padding", "random_masks_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} is {getattr(self, name)}: it is a share of the clips, 0 to 1")
        for name in ("random_mask_bins", "random_mask_frames"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} is {getattr(self, name)}: it is a share of the axis, 0 to 1")
        if self.random_masks < 0:
            raise ValueError(f"augment.random_masks is {self.random_masks}: it is a number of bands, 0 for none")
        if self.mixup_pairs not in MIXUP_PAIRS:
            raise ValueError(f"augment.mixup_pairs is {self.mixup_pairs!r}: choose {' or '.join(MIXUP_PAIRS)}")
        if self.mixup_seed is not None and self.mixup_pairs != "permutation":
            raise ValueError(
                f"augment.mixup_seed is {self.mixup_seed}: it seeds the weights of augment.mixup_pairs=permutation"
            )
