"""Model cards from a data file (text, and what the authors report) and from result JSON (what was measured here).

    python -m hub_cards.render sslam_pretrained --results outputs/demo/results.json --output outputs/card

writes `README.md`, the card with its legacy `model-index`, and `.eval_results/results.yaml`, the hub's present format.
Both hold measured numbers only, and those come from the result JSON alone; without `--results` there are none. What
the JSON does not say of where its numbers come from is given as an option.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import pathlib

import torch
import yaml
from huggingface_hub import ModelCard, ModelCardData, eval_result_entries_to_yaml
from transformers import AutoModel, SequenceFeatureExtractor
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING

import modeling_sslam  # noqa: F401  (registers the families)

from .results import Measurement, Run, read_measurement

FOLDER = pathlib.Path(__file__).parent

logger = logging.getLogger(__name__)


def card_names() -> list[str]:
    """The cards there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_card(name: str) -> dict:
    """The data file of a card.

    Raises:
        ValueError: there is no such card.
    """
    if name not in card_names():
        raise ValueError(f"unknown card {name!r}; choose one of {', '.join(card_names())}")
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def reported_rows(card: dict, size: str) -> list[dict]:
    """What the authors report of their models of this size, one line of the table each."""
    return [
        {**group, "data": name.rpartition(" ")[0], "metric": name.rpartition(" ")[2], "value": value}
        for group in card["reported"]
        if size in group["model"]
        for name, value in group["values"].items()
    ]


def build_extractor(card: dict, **changes) -> SequenceFeatureExtractor:
    """The feature extractor of a card: its `extractor` gives the fields, or the name of a `preset`."""
    extractor_class = FEATURE_EXTRACTOR_MAPPING[CONFIG_MAPPING[card["model_type"]]]
    fields = card["extractor"] | changes
    preset = fields.pop("preset", None)
    return extractor_class.from_preset(preset, **fields) if preset else extractor_class(**fields)


def published_model(card: dict, size: str) -> dict:
    """Facts about the model, from the code that builds it instead of written down again.

    The card's `model_type` says which it is, `variant` where a size has several, and `size_field` where a size is the
    value of a field of the configuration.
    """
    config_class = CONFIG_MAPPING[card["model_type"]]
    if "size_field" in card:
        config = config_class(**{card["size_field"]: size})
    else:
        config = getattr(config_class, card["variant"])(size) if "variant" in card else getattr(config_class, size)()
    extractor = build_extractor(card)
    num_frames = extractor.target_length or config.window_frames or card["trained_frames"]
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    return {
        "config": config,
        "extractor": extractor,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_frames": num_frames,
        "num_tokens": config.num_steps(num_frames) * config.num_frequency_patches,
    }


def render_card(
    name: str, size: str | None = None, repository: str | None = None, measurement: Measurement | None = None
) -> ModelCard:
    """A card as it goes to the hub.

    Args:
        name: of the card, see `card_names`.
        size: of the model, one of those in the card's data file; the first of them when None.
        repository: the card's own hub id, for its snippets.
    Raises:
        ValueError: no such card, or no such size of it.
    """
    card = load_card(name)
    size = size or next(iter(card["sizes"]))
    if size not in card["sizes"]:
        raise ValueError(f"the card {name} has no size {size!r}; choose one of {', '.join(card['sizes'])}")
    front_matter = card["front_matter"] | {"library_name": "transformers"}
    if measurement:
        front_matter["model_name"] = measurement.run.model
        front_matter["eval_results"] = measurement.model_index(front_matter["pipeline_tag"])
    return ModelCard.from_template(
        ModelCardData(**front_matter),
        template_path=str(FOLDER / "template.md"),
        card=card,
        official=card["sizes"][size]["official"],
        repository=repository or f"your-name/{name}-{size}".replace("_", "-"),
        reported=reported_rows(card, size),
        measurement=measurement,
        **published_model(card, size),
    )


def write_card(card: ModelCard, measurement: Measurement | None, output: pathlib.Path) -> None:
    """Writes the card and, where something was measured, `.eval_results`."""
    output.mkdir(parents=True, exist_ok=True)
    card.save(output / "README.md")
    if measurement:
        folder = output / ".eval_results"
        folder.mkdir(exist_ok=True)
        entries = eval_result_entries_to_yaml(measurement.eval_result_entries())
        (folder / "results.yaml").write_text(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))
    logger.info("wrote the card%s to %s", " and .eval_results" if measurement else "", output)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", choices=card_names())
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write")
    parser.add_argument("--size", help="default: the first of the card")
    parser.add_argument("--repository", help="hub id of the card, for its snippets")
    parser.add_argument("--results", type=pathlib.Path, help="result JSON")
    run_fields = [field.name for field in dataclasses.fields(Run)]
    for name in run_fields:
        parser.add_argument(f"--{name}", help="instead of what the result JSON says")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    measurement = None
    if options.results is not None:
        measurement = read_measurement(options.results, **{name: getattr(options, name) for name in run_fields})
    card = render_card(options.card, options.size, options.repository, measurement)
    write_card(card, measurement, options.output)


if __name__ == "__main__":
    main()
