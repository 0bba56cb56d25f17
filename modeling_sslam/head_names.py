# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Names of classification heads in checkpoints of version 0.1, whose clip and frame heads had the same ones."""

from __future__ import annotations

import os
import re
from typing import Any

from transformers.configuration_utils import PreTrainedConfig

FRAME_MODEL = "ForAudioFrameClassification"
CLIP_MODEL = "ForAudioClassification"
# Names (regular expressions) of version 0.1 -> ours, with `{head}` for that of the head.
FORMER_NAMES = {
    r"^(?:pooled_norm|norm)\.(weight|bias)$": r"{head}.norm.\1",
    r"^classifier\.(weight|bias)$": r"{head}.dense.\1",
    r"^pooler\.(.*)$": r"{head}.pooler.\1",
}
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


def names_of(head: str) -> dict[str, str]:
    """The table for one head, "classifier" or "frame_classifier"."""
    return {former: ours.format(head=head) for former, ours in FORMER_NAMES.items()}


def former_head_names(
    config_class: type[PreTrainedConfig], source: str | os.PathLike | None, config: Any, arguments: dict
) -> dict[str, str]:
    """What is to be renamed in a checkpoint, by the class of the model that was saved; nothing in one without head.

    Args:
        config_class: of the model that is being loaded.
        source, config, arguments: of `from_pretrained`.
    """
    architectures = getattr(config, "architectures", None)
    if not architectures and source is not None:
        hub_arguments = {name: arguments[name] for name in HUB_ARGUMENTS if name in arguments}
        architectures = config_class.get_config_dict(source, **hub_arguments)[0].get("architectures")
    saved = (architectures or [""])[0]
    if saved.endswith(FRAME_MODEL):
        return names_of("frame_classifier")
    return names_of("classifier") if saved.endswith(CLIP_MODEL) else {}


def our_name(name: str, table: dict[str, str]) -> str:
    """The name of a parameter today, by a table of former ones; one that is not in it stays."""
    matching = (re.sub(former, ours, name) for former, ours in table.items() if re.match(former, name))
    return next(matching, name)


def accept_former_head_names(model: Any, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hook of `load_state_dict`, which checkpoints of `Trainer` pass through: renames the head of the same model."""
    head = next((name for name in ("classifier", "frame_classifier") if hasattr(model, name)), None)
    if head is None:
        return
    for name in [name for name in state_dict if name.startswith(prefix)]:
        ours = prefix + our_name(name.removeprefix(prefix), names_of(head))
        if ours != name:
            state_dict[ours] = state_dict.pop(name)
