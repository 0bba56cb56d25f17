"""Soundscapes by number: each a function of (seed, index) and the collections of sounds alone."""

from __future__ import annotations

import dataclasses
import logging
import pathlib

import numpy

from training.data.processes import one_thread
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.drawing import SoundscapeDrawer
from training.soundscapes.rendering import UnreadableSourceError, render_soundscape
from training.soundscapes.soundscape import BACKGROUND, FOREGROUND, PlacedSound, Soundscape
from training.soundscapes.sources import load_collection, some_of

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 20


@dataclasses.dataclass(frozen=True)
class GeneratedSoundscape:
    """
    Attributes:
        index: its number in the set.
        soundscape: what it is made of.
        samples: (N,) float32.
        scale_factor: what the sum of the sounds was multiplied by against clipping, 1 for no clipping.
        attempt: how often a soundscape of this index had been drawn before that has a source which cannot be read.
    """

    index: int
    soundscape: Soundscape
    samples: numpy.ndarray
    scale_factor: float
    attempt: int


class SoundscapeGenerator:
    """The soundscapes of a recipe; it can be pickled for worker processes.

    Args:
        arguments: the recipe. Without `background.path` there is no background.
    Attributes:
        events, background: the collections; `background` is None where there is none.
        classes: of the events, sorted.
        unreadable: path of each source whose header could be read and whose samples could not -> reason.
    Raises:
        ValueError: what `load_collection` and `SoundscapeDrawer` refuse.
    """

    def __init__(self, arguments: SynthesisArguments):
        self.arguments = arguments
        self.events = load_collection(arguments.events, FOREGROUND)
        self.background = load_collection(arguments.background, BACKGROUND) if arguments.background.path else None
        self.classes = self.events.classes
        self.drawer = SoundscapeDrawer(arguments.mixture, self.events, self.background)
        self.unreadable: dict[str, str] = {}

    def draw(self, index: int, attempt: int = 0) -> Soundscape:
        """What soundscape `index` is made of; see `GeneratedSoundscape` for its attempts."""
        seeds = numpy.random.SeedSequence([self.arguments.output.seed, index, attempt])
        return self.drawer.draw(numpy.random.default_rng(seeds))

    def render(self, index: int) -> GeneratedSoundscape:
        """Soundscape `index` and its audio. It is drawn again where it has a source that cannot be read.

        Raises:
            ValueError: unreadable sources in all attempts.
        """
        for attempt in range(MAX_ATTEMPTS):
            soundscape = self.draw(index, attempt)
            try:
                with one_thread():
                    rendered = render_soundscape(soundscape, self.arguments.mixture.sampling_rate, self.path_of)
            except UnreadableSourceError as error:
                # It is tried again in other soundscapes: what this process has met before must not change them.
                self._note(error)
                continue
            return GeneratedSoundscape(index, soundscape, rendered.samples, rendered.scale_factor, attempt)
        raise ValueError(
            f"soundscape {index} was drawn {MAX_ATTEMPTS} times, each time with a sound that cannot be read; "
            f"known are {some_of(sorted(self.unreadable))}"
        )

    def path_of(self, sound: PlacedSound) -> pathlib.Path:
        """Where the file of a sound lies."""
        collection = self.background if sound.role == BACKGROUND else self.events
        return collection.path_of(sound.source_file)

    def _note(self, error: UnreadableSourceError) -> None:
        if str(error.path) not in self.unreadable:
            self.unreadable[str(error.path)] = error.reason
            logger.warning("drew soundscapes again that need %s: %s", error.path, error.reason)
