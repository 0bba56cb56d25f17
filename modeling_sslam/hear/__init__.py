"""The HEAR interface of any encoder: `load_model`, `get_scene_embeddings`, `get_timestamp_embeddings`."""

from .embeddings import HearModel, get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["HearModel", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
