"""Section `augment` of a fine-tuning recipe; `training/data/augment.py` is what it switches on."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class AugmentArguments:
    """Section `augment` of a recipe: what happens to the training clips. The defaults leave them as they are.

    Attributes:
        waveform_mixup: share of the clips into which another one, drawn from all, is mixed before anything else.
        roll: circular shift and gain of the waveform.
        frequency_mask, time_mask: widest SpecAugment band in mel bins and frames, filled before normalisation (SSAST).
        noise: noise and shift of the spectrogram.
        mixup_alpha: of the Beta distribution of the mixing weight of spectrograms; 0 for none.
        mixup_probability: share of the batches whose spectrograms are mixed.
        mask_ratio: widest SpecAugment band as a share of its axis, filled after normalisation (SSLAM); 0 for none.
    """

    waveform_mixup: float = 0.0
    roll: bool = False
    frequency_mask: int = 0
    time_mask: int = 0
    noise: bool = False
    mixup_alpha: float = 0.0
    mixup_probability: float = 0.9
    mask_ratio: float = 0.0

    def __post_init__(self):
        if not 0 <= self.waveform_mixup <= 1:
            raise ValueError(f"augment.waveform_mixup is {self.waveform_mixup}: it is a share of the clips, 0 to 1")
