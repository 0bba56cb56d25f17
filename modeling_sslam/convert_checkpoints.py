"""Official checkpoints of every family to folders of this package; SSLAM / EAT also back to the hub's layout.

    python -m modeling_sslam.convert_checkpoints SOURCE TARGET
    python -m modeling_sslam.convert_checkpoints SOURCE TARGET --to-hub

SOURCE: a file of the authors, or a folder with one; with --to-hub a folder of ours.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pathlib

from safetensors.torch import load_file, save_file

from .configuration_eat import to_hub_config
from .configuration_sslam import SslamConfig
from .head_names import former_head_names, our_name
from .official.checkpoints import load_official
from .official.file import CONFIG_FILE, WEIGHTS_FILE
from .official.sslam_layouts import ours_to_official_hub

TEACHER_FILE = "teacher.safetensors"
SAFETENSORS_METADATA = {"format": "pt"}  # without it transformers refuses the file

logger = logging.getLogger(__name__)


def convert_to_ours(
    source: str | os.PathLike, target: str | os.PathLike, num_attention_heads: int | None = None
) -> None:
    """Writes model, feature extractor and, where the source has one, the teacher in `teacher.safetensors`.

    Stage 2 of pretraining starts from such a folder. Raises ValueError, see `load_official`.
    """
    official = load_official(source, num_attention_heads)
    official.build().save_pretrained(target)
    official.feature_extractor.save_pretrained(target)
    if official.teacher is not None:
        save_file(official.teacher, pathlib.Path(target) / TEACHER_FILE, SAFETENSORS_METADATA)
    with_teacher = " and its teacher" if official.teacher else ""
    logger.info("wrote %s%s to %s", official.model_class.__name__, with_teacher, target)


def convert_to_hub(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Writes weights and configuration of a folder of ours in the hub's layout, the inverse of `convert_to_ours`.

    The hub's layout has no place for a decoder or a teacher: they stay behind.

    Raises:
        ValueError: `source` is no folder of this family, or its classifier is none that the hub's code has.
    """
    source, target = pathlib.Path(source), pathlib.Path(target)
    fields = json.loads((source / CONFIG_FILE).read_text()) if (source / CONFIG_FILE).is_file() else {}
    if fields.get("model_type") != SslamConfig.model_type:
        raise ValueError(f"{source} is no saved SSLAM model: the model_type there is {fields.get('model_type')!r}")
    config = SslamConfig.from_pretrained(source)
    former = former_head_names(SslamConfig, source, config, {})
    weights = {our_name(name, former): tensor for name, tensor in load_file(source / WEIGHTS_FILE).items()}
    variant = "finetune" if any(name.startswith("classifier.") for name in weights) else "pretrain"
    if variant == "finetune" and config.pooling != "cls":
        raise ValueError(f"pooling is {config.pooling!r}: the hub's code classifies the class token only")
    target.mkdir(parents=True, exist_ok=True)
    save_file(ours_to_official_hub(weights, variant), target / WEIGHTS_FILE, SAFETENSORS_METADATA)
    (target / CONFIG_FILE).write_text(json.dumps(to_hub_config(config, variant), indent=2))
    logger.info("wrote the hub layout, variant %s, to %s", variant, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET", help="folder to write")
    parser.add_argument("--to-hub", action="store_true", help="from a folder of ours to the hub's layout")
    parser.add_argument("--num-attention-heads", type=int, help="where neither file nor width tells it")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.to_hub:
        convert_to_hub(arguments.source, arguments.target)
    else:
        convert_to_ours(arguments.source, arguments.target, arguments.num_attention_heads)


if __name__ == "__main__":
    main()
