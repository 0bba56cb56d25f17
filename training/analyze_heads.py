"""A picture of what the attention heads of a model look at, and of how alike its layers are.

    python -m training.analyze_heads --model outputs/model --data clips.csv --output heads.png

Entropy and distance: of the encoder on whole clips, and of the decoder of pretraining, where it has attention, on
masked ones. Likeness: between the heads of all layers of such a decoder, or between the layers of a convolutional one;
without a decoder, between the heads of the encoder.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
)

import modeling_sslam
from modeling_sslam.audio_io import load_audio
from modeling_sslam.hear.embeddings import HearModel
from training.data.rows import load_rows
from training.objectives.masks import shuffled_patches
from training.probes.head_analysis import HeadStatistics, correlation_matrix
from training.run.command import model_command, start_log
from training.run.plots import plot_heads
from training.settings.data import ClipArguments

logger = logging.getLogger(__name__)

MASK_RATIO = 0.8  # of the clips that decoders see


@dataclasses.dataclass
class AnalysisClips(ClipArguments):
    """`ClipArguments`, of a CSV when nothing else is said."""

    format: str = "csv"


@dataclasses.dataclass
class AnalysisOptions:
    """What is looked at.

    Attributes:
        clips: how many, from the first on.
        batch_size: clips in a forward pass.
    """

    clips: int = 32
    batch_size: int = 4


@dataclasses.dataclass
class AnalysisArguments:
    """All sections."""

    data: AnalysisClips = dataclasses.field(default_factory=AnalysisClips)
    analysis: AnalysisOptions = dataclasses.field(default_factory=AnalysisOptions)


@dataclasses.dataclass(frozen=True)
class Analysis:
    """
    Attributes:
        stacks: "encoder", and "decoder" where it has attention -> statistics of its heads.
        compared: what the correlations are between.
        correlation: (R, R), layer by layer.
        num_layers: layers among the R.
    """

    stacks: dict[str, HeadStatistics]
    compared: str
    correlation: torch.Tensor
    num_layers: int


@dataclasses.dataclass(frozen=True)
class Compared:
    """Representations to be correlated: the inputs of some modules, each cut into equal parts along its channels."""

    name: str
    modules: Sequence[nn.Module]
    parts: int


def load_for_analysis(folder: str) -> PreTrainedModel:
    """The model of a folder with all that was saved of it, decoder included, and attention that shows its weights."""
    (name,) = AutoConfig.from_pretrained(folder).architectures
    model_class = getattr(modeling_sslam, name, AutoModel)
    return model_class.from_pretrained(folder, attn_implementation="eager", dtype="float32").eval()


def read_clips(
    data: ClipArguments, model: PreTrainedModel, feature_extractor: SequenceFeatureExtractor, num_clips: int
) -> torch.Tensor:
    """(N, T, F) first window of each of the first clips, as `modeling_sslam/hear/` cuts them; all equally long."""
    hear = HearModel(model.base_model, feature_extractor)
    rows = load_rows(data, streaming=False)
    rows = rows.select(range(min(num_clips, len(rows))))
    clips = (load_audio(row[data.audio_column], hear.sample_rate) for row in rows)
    inputs = hear.windows.stack([next(hear.windows.cut(0, hear.spectrogram(clip, None))) for clip in clips])
    input_values = inputs["input_values"]
    if "attention_mask" in inputs:
        input_values = input_values[:, : inputs["attention_mask"].sum(dim=1).min()]
    return input_values


@torch.no_grad()
def analyze(model: PreTrainedModel, input_values: torch.Tensor, batch_size: int) -> Analysis:
    """Runs a model over clips (N, T, F).

    Raises:
        ValueError: a model without attention, or too few clips for correlations.
    """
    if "attentions" not in (model._can_record_outputs or {}):
        raise ValueError(f"{model.config.model_type} has no attention, so it has no heads to look at")
    num_frequency = model.config.num_frequency_patches
    compared = what_to_compare(model)
    statistics = collections.defaultdict(list)
    with recorded_inputs(compared.modules) as recorded:
        for batch in input_values.split(batch_size):
            for stack, attentions, num_patches in attentions_of(model, batch):
                grid = num_patches // num_frequency, num_frequency
                statistics[stack].append(HeadStatistics.of(attentions, grid))
    layers = [torch.cat(inputs) for inputs in recorded]
    parts = [part for layer in layers for part in layer.chunk(compared.parts, dim=1)]
    stacks = {name: HeadStatistics.mean(of_batches) for name, of_batches in statistics.items()}
    return Analysis(stacks, compared.name, correlation_matrix(parts), len(layers))


def attentions_of(
    model: PreTrainedModel, input_values: torch.Tensor
) -> Iterator[tuple[str, Sequence[torch.Tensor], int]]:
    """Runs encoder and decoder: (stack, the attention (B, heads, S + L, S + L) of each of its layers, L)."""
    encoder = model.base_model
    encoded = encoder(input_values, output_attentions=True)
    num_patches = encoder.tokens(encoded).content.shape[1]
    yield "encoder", encoded.attentions, num_patches
    if hasattr(model, "decoder"):
        noise = torch.rand(len(input_values), num_patches, generator=torch.Generator().manual_seed(0))
        kept, _ = shuffled_patches(noise, MASK_RATIO)
        decoded = model(input_values, kept_indices=kept, output_attentions=True)
        if getattr(decoded, "decoder_attentions", None):
            yield "decoder", decoded.decoder_attentions, num_patches


def what_to_compare(model: PreTrainedModel) -> Compared:
    """Heads, which enter the output projection of their layer side by side, or layers of a decoder without heads."""
    decoder = getattr(model, "decoder", None)
    if decoder is not None and not hasattr(decoder.layers[0], "attention"):
        # What leaves a layer enters the next one, or the projection behind the last.
        return Compared("decoder layers", [*decoder.layers[1:], decoder.projection], 1)
    layers, name = (model.base_model.layers, "encoder heads") if decoder is None else (decoder.layers, "decoder heads")
    projections = [layer.attention.out_proj for layer in layers]
    return Compared(name, projections, projections[0].in_features // layers[0].attention.head_dim)


def windows_of(config: PreTrainedConfig) -> dict[str, Sequence[int]]:
    """Windows of the heads of each stack that has any."""
    windows = {stack: getattr(config, f"{stack}_window_sizes", ()) for stack in ("encoder", "decoder")}
    return {stack: sizes for stack, sizes in windows.items() if any(sizes)}


@contextlib.contextmanager
def recorded_inputs(modules: Sequence[nn.Module]) -> Iterator[list[list[torch.Tensor]]]:
    """While the context lasts: for each module, the inputs (N, D) of its calls, all axes but the last flattened."""
    recorded: list[list[torch.Tensor]] = [[] for _ in modules]
    handles = [
        module.register_forward_pre_hook(lambda _, args, into=into: into.append(args[0].flatten(0, -2).cpu()))
        for module, into in zip(modules, recorded, strict=True)
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def main() -> None:
    options, arguments = model_command(
        __doc__,
        AnalysisArguments,
        model="folder of a model with attention and its feature extractor",
        output="picture to write",
        needs_output=True,
    )
    start_log()
    model = load_for_analysis(options.model)
    extractor = AutoFeatureExtractor.from_pretrained(options.model)
    input_values = read_clips(arguments.data, model, extractor, arguments.analysis.clips)
    analysis = analyze(model, input_values, arguments.analysis.batch_size)
    plot_heads(
        options.output,
        analysis.stacks,
        analysis.compared,
        analysis.correlation,
        analysis.num_layers,
        windows_of(model.config),
    )
    logger.info("%d clips of %d frames: wrote %s", *input_values.shape[:2], options.output)


if __name__ == "__main__":
    main()
