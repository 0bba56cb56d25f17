"""Log-mel spectrograms as batched torch modules, float32 on any device.

`KaldiFbank` is the filter bank of the Kaldi toolkit (Povey et al., 2011) with a Hann window, the front end of SSLAM,
EAT, AST, SSAST and Audio-MAE. Every step up to the power spectrum keeps the order of the reference's float32
operations: a quiet mel band beside a loud one is a difference of large numbers, whose logarithm moves by up to 4e-3 in
another order. `PowerMel` is the front end of SSAM, AxLSTM and MW-MAE; `PowerSpectrogram` is what has no mel filters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

# Frames that are worked on at once. On a CPU the temporaries of a tile (about 2 kB a frame each) stay in the cache of
# one core; elsewhere a tile is large enough to fill the device and bounds the memory for long audio.
CPU_TILE_FRAMES = 512
DEVICE_TILE_FRAMES = 65536

ENERGY_FLOOR = torch.finfo(torch.float32).eps  # the smallest energy whose logarithm is taken, Kaldi's float epsilon


def tiles(frames: torch.Tensor) -> Iterator[tuple[slice, slice]]:
    """(clips, frames) slices that cover a (B, T, frame_length) view."""
    size = CPU_TILE_FRAMES if frames.device.type == "cpu" else DEVICE_TILE_FRAMES
    num_clips, num_frames = frames.shape[:2]
    clips_per_tile = max(1, size // num_frames)
    for clip in range(0, num_clips, clips_per_tile):
        for frame in range(0, num_frames, size):
            yield slice(clip, clip + clips_per_tile), slice(frame, frame + size)


def check_filter_edges(low_frequency: float, high_frequency: float, sampling_rate: int) -> None:
    """Raises ValueError unless the edges of mel filters are in order within 0 and half the sampling rate."""
    if not 0 <= low_frequency < high_frequency <= sampling_rate / 2:
        raise ValueError(
            f"Mel filters from {low_frequency} to {high_frequency} Hz do not fit a sampling rate of "
            f"{sampling_rate} Hz: expected 0 <= low_frequency < high_frequency <= {sampling_rate / 2}."
        )


def hertz_to_mel(frequency: torch.Tensor) -> torch.Tensor:
    """Kaldi's mel scale, 1127 ln(1 + f / 700), for frequencies in Hz."""
    return 1127.0 * torch.log(1.0 + frequency / 700.0)


def kaldi_mel_filters(
    num_mel_bins: int, fft_length: int, sampling_rate: int, low_frequency: float, high_frequency: float
) -> torch.Tensor:
    """Triangular filters that are linear on the mel scale, without area normalisation.

    Built in float32: triangles from float64 differ by 1.4e-5, and quiet bands by 2.5e-3 after the logarithm.

    Returns:
        (fft_length // 2 + 1, num_mel_bins) weights of the power spectrum; the Nyquist bin has weight zero.
    """
    edges = 1127.0 * math.log(1.0 + low_frequency / 700.0), 1127.0 * math.log(1.0 + high_frequency / 700.0)
    step = (edges[1] - edges[0]) / (num_mel_bins + 1)
    index = torch.arange(num_mel_bins)
    left, centre, right = (edges[0] + (index + offset) * step for offset in (0.0, 1.0, 2.0))
    mel = hertz_to_mel(sampling_rate / fft_length * torch.arange(fft_length // 2)).unsqueeze(1)
    triangles = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clamp(min=0.0)
    return nn.functional.pad(triangles, (0, 0, 0, 1))


class KaldiFbank(nn.Module):
    """Waveform to natural-log mel energies, equal to `torchaudio.compliance.kaldi.fbank` (Hann, no dither, no energy).

    Per frame: subtract the mean, pre-emphasis with the first sample repeated, symmetric Hann window, zero padding to a
    power of two, power spectrum, mel filters, logarithm of at least 1.19e-7. Only whole frames are made. No gradient.

    Args:
        sampling_rate: in Hz.
        num_mel_bins: number of filters F.
        frame_length_ms, frame_shift_ms: length of and distance between frames in milliseconds.
        low_frequency, high_frequency: outer edges of the filters in Hz; `None` is half the sampling rate.
        preemphasis: p in x[n] - p x[n-1].
    Raises:
        ValueError: filter edges that are not in order within 0 and half the sampling rate.
    """

    def __init__(
        self,
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        frame_length_ms: float = 25.0,
        frame_shift_ms: float = 10.0,
        low_frequency: float = 20.0,
        high_frequency: float | None = None,
        preemphasis: float = 0.97,
    ):
        super().__init__()
        high_frequency = sampling_rate / 2 if high_frequency is None else high_frequency
        check_filter_edges(low_frequency, high_frequency, sampling_rate)
        self.num_mel_bins = num_mel_bins
        self.frame_length = int(sampling_rate * frame_length_ms / 1000)
        self.frame_shift = int(sampling_rate * frame_shift_ms / 1000)
        self.fft_length = 1 << (self.frame_length - 1).bit_length()
        self.preemphasis = preemphasis
        filters = kaldi_mel_filters(num_mel_bins, self.fft_length, sampling_rate, low_frequency, high_frequency)
        self.register_buffer("window", torch.hann_window(self.frame_length, periodic=False), persistent=False)
        self.register_buffer("mel_filters", filters, persistent=False)

    def num_frames(self, num_samples: int) -> int:
        """Number of whole frames in `num_samples` samples."""
        return max(0, 1 + (num_samples - self.frame_length) // self.frame_shift)

    def num_samples(self, num_frames: int) -> int:
        """Number of samples that `num_frames` frames cover."""
        return (num_frames - 1) * self.frame_shift + self.frame_length

    @torch.no_grad()
    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Log-mel energies of a batch.

        Args:
            waveform: (B, N) samples on the module's device; computed in float32 also under autocast.
        Returns:
            (B, num_frames(N), num_mel_bins) float32.
        Raises:
            ValueError: not two dimensions, or shorter than one frame.
        """
        if waveform.dim() != 2:
            raise ValueError(f"Expected a waveform of shape (batch, samples), got {tuple(waveform.shape)}.")
        if waveform.shape[1] < self.frame_length:
            raise ValueError(
                f"A waveform of {waveform.shape[1]} samples is shorter than one frame of {self.frame_length} samples."
            )
        # Rows of one clip overlap in memory: a view, nothing is copied.
        frames = waveform.float().unfold(1, self.frame_length, self.frame_shift)
        features = waveform.new_empty((*frames.shape[:2], self.num_mel_bins), dtype=torch.float32)
        with torch.autocast(waveform.device.type, enabled=False):
            for tile in tiles(frames):
                features[tile] = self._log_mel(frames[tile])
        return features

    def _log_mel(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, T, frame_length) frames to (B, T, num_mel_bins)."""
        padded = frames.new_zeros((*frames.shape[:2], self.fft_length))
        signal = padded[..., : self.frame_length]
        torch.sub(frames, frames.mean(dim=-1, keepdim=True), out=signal)
        previous = self.preemphasis * signal
        signal[..., 1:].sub_(previous[..., :-1])
        signal[..., 0].sub_(previous[..., 0])
        signal.mul_(self.window)
        spectrum = torch.view_as_real(torch.fft.rfft(padded)).square_()
        energies = (spectrum[..., 0] + spectrum[..., 1]) @ self.mel_filters
        return energies.clamp_(min=ENERGY_FLOOR).log_()


class CentredFrames(nn.Module):
    """Frames centred on every `frame_shift`-th sample of a clip, which is reflected at both ends.

    Args:
        fft_length: samples of a Fourier transform, and so of a frame.
        frame_shift: samples from one frame to the next.
        window: (W,) that frames are multiplied with in their middle, W at most `fft_length`.
    Raises:
        ValueError: a window longer than the transform.
    """

    def __init__(self, fft_length: int, frame_shift: int, window: torch.Tensor):
        super().__init__()
        missing = fft_length - len(window)
        if missing < 0:
            raise ValueError(f"A window of {len(window)} samples does not fit a transform of {fft_length}.")
        self.fft_length = fft_length
        self.frame_shift = frame_shift
        window = nn.functional.pad(window, (missing // 2, missing - missing // 2))
        self.register_buffer("window", window, persistent=False)

    def num_frames(self, num_samples: int) -> int:
        """Number of frames of a clip of `num_samples` samples."""
        return 1 + (num_samples - self.fft_length % 2) // self.frame_shift

    def num_samples(self, num_frames: int) -> int:
        """The fewest samples of a clip that has `num_frames` frames."""
        return (num_frames - 1) * self.frame_shift + self.fft_length % 2

    def reflect(self, waveform: torch.Tensor) -> torch.Tensor:
        """(B, N) -> (B, N + 2 * (fft_length // 2)): both ends reflected; frame 0 is centred on the first sample.

        Raises:
            ValueError: not two dimensions, or too short to be reflected.
        """
        if waveform.dim() != 2:
            raise ValueError(f"Expected a waveform of shape (batch, samples), got {tuple(waveform.shape)}.")
        reach = self.fft_length // 2
        if waveform.shape[1] <= reach:
            raise ValueError(
                f"A waveform of {waveform.shape[1]} samples is too short: it is reflected over {reach} samples at "
                "each end, and must be longer."
            )
        return nn.functional.pad(waveform, (reach, reach), mode="reflect")

    def power(self, frames: torch.Tensor) -> torch.Tensor:
        """(..., fft_length) frames -> (..., fft_length // 2 + 1) squared magnitudes of their spectra."""
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window)).square_()
        return spectrum[..., 0] + spectrum[..., 1]


class PowerSpectrogram(CentredFrames):
    """Waveform to squared magnitudes of short-time spectra; their square roots are the magnitudes. No gradient.

    Transforms are taken in float64, at a fifth more time: in float32 the rounding of a loud frequency reaches the
    quiet ones, and moves them by 0.1 dB. Arguments are those of `CentredFrames`, the window in float64.
    """

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Spectra of a batch of clips of one length.

        Args:
            waveform: (B, N) samples on the module's device.
        Returns:
            (B, num_frames(N), fft_length // 2 + 1) float32.
        Raises:
            ValueError: as `reflect`.
        """
        return self.of_reflected(self.reflect(waveform))

    @torch.no_grad()
    def of_reflected(self, reflected: torch.Tensor) -> torch.Tensor:
        """The same of waveforms (B, M) that were reflected, each at its own ends, and then perhaps padded."""
        frames = reflected.float().unfold(1, self.fft_length, self.frame_shift)
        spectra = reflected.new_empty((*frames.shape[:2], self.fft_length // 2 + 1), dtype=torch.float32)
        with torch.autocast(reflected.device.type, enabled=False):
            for tile in tiles(frames):
                spectra[tile] = self.power(frames[tile].double())
        return spectra


def htk_mel_filters(
    num_mel_bins: int, fft_length: int, sampling_rate: int, low_frequency: float, high_frequency: float
) -> torch.Tensor:
    """Triangular filters that are linear in Hz, with corners evenly spaced on the HTK mel scale (Young et al., 2006).

    No area normalisation: every triangle reaches 1.

    Returns:
        (fft_length // 2 + 1, num_mel_bins) weights of the power spectrum.
    """
    low, high = (2595.0 * math.log10(1.0 + frequency / 700.0) for frequency in (low_frequency, high_frequency))
    corners = 700.0 * (10.0 ** (torch.linspace(low, high, num_mel_bins + 2) / 2595.0) - 1.0)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    hertz = torch.linspace(0, sampling_rate / 2, fft_length // 2 + 1).unsqueeze(1)
    return torch.minimum((hertz - left) / (centre - left), (right - hertz) / (right - centre)).clamp(min=0.0)


class PowerMel(CentredFrames):
    """Waveform to natural-log mel power, the front end of SSAM, AxLSTM and MW-MAE.

    Frames are centred on every `frame_shift`-th sample, the clip being reflected at both ends; periodic Hann window,
    power spectrum, mel filters, logarithm of the power plus 1.19e-7. No gradient.

    Args:
        sampling_rate: in Hz.
        num_mel_bins: number of filters F.
        fft_length: samples of a Fourier transform.
        frame_length: samples of the window, in the middle of those of the transform.
        frame_shift: samples from one frame to the next.
        low_frequency, high_frequency: outer edges of the filters in Hz.
    Raises:
        ValueError: filter edges that are not in order within 0 and half the sampling rate, or a window longer than
            the transform.
    """

    def __init__(
        self,
        sampling_rate: int = 16000,
        num_mel_bins: int = 80,
        fft_length: int = 400,
        frame_length: int = 400,
        frame_shift: int = 160,
        low_frequency: float = 50.0,
        high_frequency: float = 8000.0,
    ):
        check_filter_edges(low_frequency, high_frequency, sampling_rate)
        super().__init__(fft_length, frame_shift, torch.hann_window(frame_length))
        self.num_mel_bins = num_mel_bins
        filters = htk_mel_filters(num_mel_bins, fft_length, sampling_rate, low_frequency, high_frequency)
        self.register_buffer("mel_filters", filters, persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Log-mel power of a batch of clips of one length.

        Args:
            waveform: (B, N) samples on the module's device; computed in float32 also under autocast.
        Returns:
            (B, num_frames(N), num_mel_bins) float32.
        Raises:
            ValueError: as `reflect`.
        """
        return self.log_mel(self.reflect(waveform))

    @torch.no_grad()
    def log_mel(self, reflected: torch.Tensor) -> torch.Tensor:
        """Log-mel power of waveforms that were reflected, each at its own ends, and then perhaps padded.

        Args:
            reflected: (B, M).
        Returns:
            (B, 1 + (M - fft_length) // frame_shift, num_mel_bins) float32.
        """
        frames = reflected.float().unfold(1, self.fft_length, self.frame_shift)
        features = reflected.new_empty((*frames.shape[:2], self.num_mel_bins), dtype=torch.float32)
        with torch.autocast(reflected.device.type, enabled=False):
            for tile in tiles(frames):
                power = self.power(frames[tile]) @ self.mel_filters
                features[tile] = power.add_(ENERGY_FLOOR).log_()
        return features
