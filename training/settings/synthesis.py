"""Settings of soundscapes: where isolated sounds come from, how they are drawn and mixed, and what is written."""

from __future__ import annotations

import dataclasses

SOURCE_FORMATS = ("folder", "csv")
OUTPUT_FORMATS = ("files", "parquet", "webdataset")


@dataclasses.dataclass
class SourceArguments:
    """A collection of isolated sounds, each of one class.

    Attributes:
        format: "folder" of `<class>/<file>`, or "csv".
        path: folder or CSV file.
        class_column, file_column: columns of a CSV.
        audio_root: folder to which its files are relative; that of the CSV where not given.
        filters: column -> values of the rows of a CSV to keep, as in `{fold: [1, 2, 3]}`.
    """

    format: str = "folder"
    path: str = ""
    class_column: str = "label"
    file_column: str = "filename"
    audio_root: str | None = None
    filters: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.format not in SOURCE_FORMATS:
            raise ValueError(f"format of a sound collection is {self.format!r}: choose {' or '.join(SOURCE_FORMATS)}")


@dataclasses.dataclass
class MixtureArguments:
    """How a soundscape is drawn; the defaults are those of GISE-51 without time stretching.

    A distribution is a number, or a list: `[uniform, low, high]`, `[normal, mean, deviation]`,
    `[truncnorm, mean, deviation, low, high]`, or `[choose, value, ...]`; null where there is to be none.

    Attributes:
        duration: of a soundscape, in seconds.
        sampling_rate: in Hz.
        ref_db: loudness of the background in LUFS.
        min_events, max_events: foreground sounds of a soundscape, uniform in this range.
        event_duration: seconds of a source that are taken, before stretching; never more than it has.
        event_time: where the sound starts; it is moved to an earlier time where it would not end in the soundscape.
        source_time, background_source_time: where the stretch of a source starts, reduced to fit.
        snr: loudness of a foreground sound over that of the background, in dB.
        time_stretch: factor of the duration; published is `[uniform, 0.95, 1.05]`.
        fade: seconds of the fades of foreground sounds.
        fix_clipping: whether a peak above 1 is brought to 1.
        balance_classes: whether every class is drawn equally often, instead of every file.
        repeat_sources: whether a file may be drawn twice for one soundscape.
        repeat_labels: whether a class may.
    """

    duration: float = 5.0
    sampling_rate: int = 22050
    ref_db: float = -60.0
    min_events: int = 1
    max_events: int = 3
    event_duration: list | float = dataclasses.field(default_factory=lambda: ["uniform", 1.5, 5.0])
    event_time: list | float = dataclasses.field(default_factory=lambda: ["uniform", 0.0, 5.0])
    source_time: list | float = dataclasses.field(default_factory=lambda: ["uniform", 0.0, 140.0])
    background_source_time: list | float = dataclasses.field(default_factory=lambda: ["uniform", 0.0, 600.0])
    snr: list | float = dataclasses.field(default_factory=lambda: ["uniform", 10.0, 60.0])
    time_stretch: list | float | None = None
    fade: float = 0.01
    fix_clipping: bool = True
    balance_classes: bool = True
    repeat_sources: bool = True
    repeat_labels: bool = True

    def __post_init__(self):
        if self.duration <= 0 or self.sampling_rate <= 0:
            raise ValueError(
                f"mixture.duration is {self.duration} s and mixture.sampling_rate {self.sampling_rate} Hz: both must "
                "be above 0"
            )
        if not 0 <= self.min_events <= self.max_events or not self.max_events:
            raise ValueError(
                f"mixture.min_events is {self.min_events} and mixture.max_events {self.max_events}: a soundscape has "
                "at least one event at most, and no more at least than at most"
            )
        if self.ref_db > 0 or self.fade < 0:
            raise ValueError(
                f"mixture.ref_db is {self.ref_db} LUFS and mixture.fade {self.fade} s: the one must not be above 0, "
                "the other not below"
            )


@dataclasses.dataclass
class OutputArguments:
    """What is written.

    Attributes:
        folder: of the set.
        num_soundscapes: of the set, or of an epoch where they are made while a model trains; of two sets that differ
            in this alone, the smaller one is the beginning of the larger.
        seed: of the set; soundscape `i` is a function of (seed, i) and the sources alone.
        format: "files" (FLAC, JAMS and tab-separated text of each soundscape, and `clips.csv`), or shards: "parquet",
            "webdataset" (tar).
        shard_size: soundscapes of a shard.
        disjoint_from: folders of other sets; a foreground sound that one of them was made of is refused.
    """

    folder: str = "outputs/soundscapes"
    num_soundscapes: int = 5000
    seed: int = 0
    format: str = "files"
    shard_size: int = 500
    disjoint_from: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        if self.format not in OUTPUT_FORMATS:
            raise ValueError(f"output.format is {self.format!r}: choose {', '.join(OUTPUT_FORMATS)}")
        if self.num_soundscapes < 1 or self.shard_size < 1:
            raise ValueError(
                f"output.num_soundscapes is {self.num_soundscapes} and output.shard_size {self.shard_size}: both must "
                "be at least 1"
            )
        if self.seed < 0:
            raise ValueError(f"output.seed is {self.seed}: it must be 0 or above")


@dataclasses.dataclass
class SynthesisArguments:
    """All sections of a recipe for soundscapes."""

    events: SourceArguments = dataclasses.field(default_factory=SourceArguments)
    background: SourceArguments = dataclasses.field(default_factory=SourceArguments)
    mixture: MixtureArguments = dataclasses.field(default_factory=MixtureArguments)
    output: OutputArguments = dataclasses.field(default_factory=OutputArguments)
