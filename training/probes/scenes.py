"""Scene embeddings (HEAR) of rows of audio: what shallow classifiers of a frozen encoder are trained on."""

from __future__ import annotations

import datasets
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from modeling_sslam.audio_io import load_audio
from modeling_sslam.hear.embeddings import HearModel, get_scene_embeddings


class Waveforms(Dataset):
    """Decoded clips (N,) at one rate.

    Args:
        rows: with the encoded audio in `audio_column`.
        sampling_rate: in Hz.
    """

    def __init__(self, rows: datasets.Dataset, audio_column: str, sampling_rate: int):
        self.rows = rows.select_columns([audio_column])
        self.audio_column = audio_column
        self.sampling_rate = sampling_rate

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return load_audio(self.rows[index][self.audio_column], self.sampling_rate)


def scene_embeddings(
    model: HearModel, rows: datasets.Dataset, audio_column: str, batch_size: int, num_workers: int
) -> torch.Tensor:
    """(N, E) float32 on the CPU, one embedding a row; clips may have any lengths.

    Raises:
        ValueError: a clip that cannot be decoded.
    """
    waveforms = Waveforms(rows, audio_column, model.sample_rate)
    loader = DataLoader(waveforms, batch_size, num_workers=num_workers, collate_fn=list)
    return torch.cat([get_scene_embeddings(clips, model).cpu() for clips in tqdm(loader, "scenes", leave=False)])
