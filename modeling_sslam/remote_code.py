"""What a saved folder needs so that it loads with `trust_remote_code=True` where this package is not installed.

`save_pretrained` copies the module of a class and its siblings into the folder, but names only the class being saved
in `config.json`. The configuration therefore names the Auto classes of its whole family itself.
"""

from __future__ import annotations

import os


class RemoteCodeMixin:
    """For configurations, before `PreTrainedConfig`: every saved folder names all classes of the family."""

    # Auto class -> "module.Class", for the configuration and each model of the family.
    auto_classes: dict[str, str] = {}

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        self.auto_map = dict(self.auto_classes)
        super().save_pretrained(save_directory, *args, **kwargs)
