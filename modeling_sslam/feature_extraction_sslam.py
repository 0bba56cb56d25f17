"""The former name of `KaldiFbankFeatureExtractor`, in imports and in `preprocessor_config.json` files."""

from __future__ import annotations

from transformers import AutoFeatureExtractor

from .feature_extraction_kaldi_fbank import KaldiFbankFeatureExtractor

SslamFeatureExtractor = KaldiFbankFeatureExtractor

# transformers finds the extractor that a file names among the `__name__`s of the registered classes, of which an alias
# has none of its own. So a stand-in has the name, and loads the class.
AutoFeatureExtractor.register(
    "SslamFeatureExtractor",
    type(
        "SslamFeatureExtractor",
        (KaldiFbankFeatureExtractor,),
        {"from_pretrained": KaldiFbankFeatureExtractor.from_pretrained},
    ),
    exist_ok=True,
)
