"""Speed as ratios measured in one run: `python -m training.benchmark [--rows NAME ...] [--output FILE.json]`.

Every row runs in a process of its own, on one thread, and measures the machine's float32 matmul rate beside the work.
On a CPU the clock is the CPU time of that thread, since a shared machine's wall clock measures its other users. With a
CUDA GPU, rows in bfloat16 are added: clips per second and the share of that GPU's own bfloat16 matmul rate.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.machinery
import importlib.util
import multiprocessing
import pathlib
import sys
import types
from collections.abc import Callable

import torch

from modeling_sslam import SslamConfig, SslamForPreTraining, SslamModel
from modeling_sslam.audio_spectrogram import KaldiFbank
from training.benchmarks.cnn import CNN_BENCHMARKS
from training.benchmarks.measure import Row, fastest, line, matmul_rate, share_row
from training.benchmarks.sequence import GPU_SEQUENCE_BENCHMARKS, SEQUENCE_BENCHMARKS
from training.benchmarks.synthesis import SYNTHESIS_BENCHMARKS
from training.benchmarks.windows import GPU_WINDOW_BENCHMARKS, WINDOW_BENCHMARKS
from training.objectives import build_objective
from training.objectives.masks import inverse_block_mask, num_kept_tokens
from training.objectives.mixing import default_window
from training.objectives.sslam import SslamObjectiveConfig
from training.run.command import write_results

CLIP_FRAMES = 1024
CLIP_SAMPLES = 160_000
SAMPLING_RATE = 16_000
TINY = SslamConfig(
    hidden_size=192,
    num_hidden_layers=4,
    num_attention_heads=3,
    intermediate_size=768,
    decoder_hidden_size=192,
)
# Time of the official code, and the matmul rate of the machine on which it was taken (the issue that set the goals).
REFERENCE_MATMUL = 75e9


def encoder_flops(config: SslamConfig, num_tokens: int) -> float:
    """Multiply-adds times two of all blocks for one sequence."""
    width = config.hidden_size
    linear = num_tokens * (8 * width**2 + 4 * width * config.intermediate_size)
    return config.num_hidden_layers * (linear + 4 * num_tokens**2 * width)


def decoder_flops(config: SslamConfig, num_tokens: int) -> float:
    """The same of the decoder, for one sequence."""
    width = config.decoder_hidden_size
    convolution = 2 * width * width // config.decoder_groups * config.decoder_kernel_size**2
    return num_tokens * (config.decoder_num_layers * convolution + 2 * width * config.hidden_size)


def step_flops(config: SslamConfig, stage: int, clips: int, clones: int) -> float:
    """Student and decoder with backward (three times the forward pass), and the teacher's forward passes."""
    objective = SslamObjectiveConfig()
    num_tokens = config.num_patches(CLIP_FRAMES)
    visible = 1 + num_kept_tokens(num_tokens, objective.mask_prob)
    rows = clips * clones * stage
    student = 3 * rows * (encoder_flops(config, visible) + decoder_flops(config, num_tokens))
    teacher = stage * clips * encoder_flops(config, 1 + num_tokens)
    if stage == 2:
        window = default_window(CLIP_FRAMES, config.time_stride)
        mixed = num_tokens - config.num_patches(2 * window)
        teacher += clips * encoder_flops(config, 1 + mixed)
    return student + teacher


def training_step(config: SslamConfig, stage: int, clips: int, clones: int, device: str) -> Callable[[], None]:
    """Forward and backward pass of a pretraining step on noise."""
    torch.manual_seed(0)
    model = SslamForPreTraining(config).to(device).train()
    objective = build_objective(f"sslam_stage{stage}", {"clones": clones}, model).to(device)
    batch = {"input_values": torch.randn(clips, CLIP_FRAMES, config.num_mel_bins, device=device)}

    def work() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, _ = objective(model, batch, torch.Generator().manual_seed(0))
        loss.backward()

    return work


def fbank_rows() -> list[Row]:
    """Spectrogram against the other implementations that are installed."""
    clips = torch.randn(32, CLIP_SAMPLES) * 0.1
    fbank = KaldiFbank()
    ours = fastest(lambda: fbank(clips), 5) / len(clips)
    rows = []
    for name, compute, goal in ((*torchaudio_fbank(), 1.5), (*transformers_fbank(), 10.0)):
        if compute is None:
            rows.append(Row(f"fbank against {name}", ours, "not installed", None))
            continue
        few = clips[:8]
        theirs = fastest(lambda compute=compute, few=few: [compute(clip) for clip in few], 3) / len(few)
        ratio = theirs / ours
        rows.append(Row(f"fbank against {name}", ours, f"{ratio:.1f}x, {theirs * 1e3:.1f} ms", ratio, goal))
    return rows


def torchaudio_fbank() -> tuple[str, Callable | None]:
    """torchaudio's filter bank. Its module is plain torch, so a torchaudio built for another torch serves too."""
    spec = importlib.machinery.PathFinder.find_spec("torchaudio")  # also where it was marked as not importable
    if spec is None:
        return "torchaudio", None
    folder = pathlib.Path(spec.origin).parent
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    file = importlib.util.spec_from_file_location("torchaudio_kaldi", folder / "compliance" / "kaldi.py")
    kaldi = importlib.util.module_from_spec(file)
    file.loader.exec_module(kaldi)
    settings = {"htk_compat": True, "use_energy": False, "window_type": "hanning", "num_mel_bins": 128, "dither": 0.0}
    return "torchaudio", lambda clip: kaldi.fbank(clip[None], sample_frequency=SAMPLING_RATE, **settings)


def transformers_fbank() -> tuple[str, Callable | None]:
    """What transformers' AST computes where torchaudio is not installed."""
    from transformers import ASTFeatureExtractor
    from transformers.utils import is_torchaudio_available

    if is_torchaudio_available():
        return "transformers without torchaudio", None
    extractor = ASTFeatureExtractor()
    return "transformers without torchaudio", lambda clip: extractor(clip.numpy(), sampling_rate=SAMPLING_RATE)


def encoder_row() -> list[Row]:
    model = SslamModel(SslamConfig()).eval()
    clips = torch.randn(4, CLIP_FRAMES, model.config.num_mel_bins)
    num_tokens = 1 + model.config.num_patches(CLIP_FRAMES)

    @torch.inference_mode()
    def work() -> None:
        model(clips)

    return [share_row("base encoder, 4 clips of 10 s", work, 4 * encoder_flops(model.config, num_tokens), 0.85)]


def step_row(config: SslamConfig, size: str, stage: int, clips: int, clones: int, goal: float) -> list[Row]:
    """One pretraining step without the optimiser; goals below 1 are shares of the matmul rate, others seconds."""
    flops = step_flops(config, stage, clips, clones)
    share = goal if goal < 1 else flops / (goal * REFERENCE_MATMUL)
    work = training_step(config, stage, clips, clones, "cpu")
    return [share_row(f"{size} stage-{stage} step, {clips} clips x {clones} clones", work, flops, share)]


def mask_row() -> list[Row]:
    generator = torch.Generator().manual_seed(0)
    batches = range(20)
    draw = functools.partial(inverse_block_mask, 16, (64, 8), 0.8, 0.07, 5, generator)
    seconds = fastest(lambda: [draw() for _ in batches], 50) / len(batches)
    ratio = 3.8e-3 / seconds
    return [Row("16 masks of 64 x 8", seconds, f"{ratio:.0f}x faster than 3.8 ms", ratio, 10.0)]


def gpu_rows() -> list[Row]:
    """Pretraining steps of the published batch in bfloat16, beside the GPU's own matmul rate."""
    rate = matmul_rate("cuda", torch.bfloat16)
    rows = []
    for stage, clips, clones in ((1, 12, 16), (2, 12, 8)):
        torch.cuda.reset_peak_memory_stats()
        seconds = fastest(training_step(SslamConfig(), stage, clips, clones, "cuda"), 10, "cuda")
        share = step_flops(SslamConfig(), stage, clips, clones) / seconds / rate
        measure = f"{clips / seconds:.0f} clips/s, {share:.0%} of {rate / 1e12:.0f} TFLOP/s (bf16 matmul)"
        peak = torch.cuda.max_memory_allocated() / 2**20
        rows.append(Row(f"GPU base stage-{stage} step, {clips} x {clones}", seconds, measure, share, None, peak))
    return rows


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "fbank": fbank_rows,
    "encoder": encoder_row,
    "base-stage1": lambda: step_row(SslamConfig(), "base", 1, 2, 4, 0.85),
    "base-stage2": lambda: step_row(SslamConfig(), "base", 2, 2, 2, 0.88),
    "tiny-stage1": lambda: step_row(TINY, "tiny", 1, 2, 16, 2.75 / 2),
    "tiny-stage2": lambda: step_row(TINY, "tiny", 2, 2, 8, 3.0 / 2),
    "masks": mask_row,
    **SEQUENCE_BENCHMARKS,
    **WINDOW_BENCHMARKS,
    **CNN_BENCHMARKS,
    **SYNTHESIS_BENCHMARKS,
}
GPU_BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "gpu": gpu_rows,
    **GPU_SEQUENCE_BENCHMARKS,
    **GPU_WINDOW_BENCHMARKS,
}


def run_alone(name: str) -> list[Row]:
    """A benchmark on one thread of this process."""
    torch.set_num_threads(1)
    return (BENCHMARKS | GPU_BENCHMARKS)[name]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", nargs="+", choices=[*BENCHMARKS, *GPU_BENCHMARKS], help="default: all that this machine can"
    )
    parser.add_argument("--output", type=pathlib.Path, help="also write the rows as JSON")
    arguments = parser.parse_args()
    names = arguments.rows or [*BENCHMARKS, *(GPU_BENCHMARKS if torch.cuda.is_available() else [])]
    rows = []
    for name in names:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            for row in process.apply(run_alone, [name]):
                print(line(row), flush=True)
                rows.append(dataclasses.asdict(row))
    if arguments.output:
        write_results(arguments.output, {"rows": rows}, "named in each row", "noise", indent=1)


if __name__ == "__main__":
    main()
