"""transformers' base class of feature extractors, also beside a torchaudio that is installed but does not import.

transformers takes torchaudio for available as soon as its files are there, and imports it in `audio_utils`, which its
feature extractors, processors and pipelines all import. A torchaudio built for another torch (or another CUDA) would
so keep them, and us, from loading.
"""

from __future__ import annotations

import importlib
import sys

from transformers.utils import is_torchaudio_available, logging

logger = logging.get_logger(__name__)


def ignore_broken_torchaudio() -> None:
    """Makes Python and transformers treat torchaudio as not installed, in this process, if it cannot be imported."""
    try:
        importlib.import_module("transformers.audio_utils")
    except Exception as error:  # a wrong build raises OSError or RuntimeError as well as ImportError
        if not is_torchaudio_available():
            raise
        logger.warning("Ignoring the installed torchaudio, which does not import: %s", repr(error))
        sys.modules["torchaudio"] = None  # Python's own mark of a module that is not to be found
        is_torchaudio_available.cache_clear()
        importlib.import_module("transformers.audio_utils")


ignore_broken_torchaudio()

from transformers import SequenceFeatureExtractor  # noqa: E402

__all__ = ["SequenceFeatureExtractor"]
