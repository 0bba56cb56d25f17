"""From nothing to a classifier in a few minutes on 2 CPU cores: `make demo`, or `python -m training.demo`.

Makes a bank of sounds (or reads a folder with a CSV), pretrains a tiny SSLAM through both stages, probes each against
the same model with random weights, fine-tunes it, loads the result through `pipeline`, writes pictures and numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import shutil
import time
from collections.abc import Callable

import datasets
import torch
import transformers
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForPreTraining, pipeline

from modeling_sslam.pipelines.audio_classification import SslamAudioClassificationPipeline
from training.data.labelled import load_labelled_rows
from training.finetune import finetune
from training.objectives import build_objective
from training.objectives.mixing import mix_with_neighbours, unmixed_frames
from training.pretrain import pretrain
from training.probe import ProbeOptions, probe_model, random_twin
from training.probes.features import ProbeData, load_probe_data
from training.run.monitor import read_metrics
from training.run.plots import plot_masked_spectrogram, plot_mixture, plot_probes, plot_training
from training.run.provenance import describe_run, num_cores
from training.settings.data import EvaluationArguments, LabelledDataArguments
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import build_arguments, load_arguments
from training.sound_bank import BankConfig, write_bank

RECIPE = pathlib.Path(__file__).parent / "recipes" / "demo.yaml"
MARK = ".demo"  # a file in every folder that a demo wrote
PROBE = "linear_mean"  # logistic regression on the mean of the patch tokens
METRICS = {True: ("mean_average_precision", "mAP"), False: ("accuracy", "accuracy")}  # by: several labels a clip?


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is done: clips of each kind, and updates."""

    clips: int = 800
    stage1_steps: int = 500
    stage2_steps: int = 130
    finetune_steps: int = 300


FULL = Effort()
REDUCED = Effort(clips=160, stage1_steps=120, stage2_steps=30, finetune_steps=20)


@dataclasses.dataclass(frozen=True)
class DemoData:
    """Where the clips are.

    Attributes:
        csv: the list of clips.
        pretraining: overrides of the recipe, the clips to pretrain on.
        tasks: name -> labelled training and evaluation clips. The last one is for fine-tuning.
    """

    csv: pathlib.Path
    pretraining: list[str]
    tasks: dict[str, tuple[dict, dict]]


def synthetic_data(folder: pathlib.Path, clips: int) -> DemoData:
    """Generates single events (one label) and soundscapes (several labels); pretraining hears both."""
    csv = write_bank(folder, BankConfig(num_events=clips, num_soundscapes=clips, seconds=2.1))

    def task(kind: str, separator: str | None) -> tuple[dict, dict]:
        data = {"path": str(csv), "label_column": "labels", "label_separator": separator}
        return data | {"filters": {"kind": [kind], "split": ["train"]}}, {
            "filters": {"kind": [kind], "split": ["test"]}
        }

    tasks = {"single events": task("event", None), "soundscapes": task("soundscape", ";")}
    return DemoData(csv, ["data.filters={split: [train]}"], tasks)


def real_data(folder: pathlib.Path) -> DemoData:
    """A folder with one CSV (filename, fold, category) and `audio/`, as ESC-10: folds 1-3 train, fold 4 tests.

    Raises:
        ValueError: the folder has no such CSV.
    """
    candidates = [path for path in sorted(folder.glob("*.csv")) if "filename,fold" in path.read_text()[:200]]
    if len(candidates) != 1:
        raise ValueError(f"{folder} must hold one CSV with the columns filename, fold and category, and audio/")
    csv, audio = candidates[0], folder / "audio"
    data = {"path": str(csv), "audio_root": str(audio), "label_column": "category", "filters": {"fold": [1, 2, 3]}}
    overrides = [f"data.audio_root={audio}", "data.filters={fold: [1, 2, 3]}", "data.target_length=256"]
    overrides += ["data.mean=-8.7", "data.std=2.1"]
    return DemoData(csv, overrides, {csv.stem: (data, {"filters": {"fold": [4]}})})


class Stopwatch:
    """Announces the parts of the demo and remembers how long each took."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    def run(self, name: str, part: Callable, *arguments):
        print(f"--- {name}", flush=True)
        start = time.perf_counter()
        result = part(*arguments)
        self.seconds[name] = round(time.perf_counter() - start, 1)
        return result


def pretrain_stage(data: DemoData, output: pathlib.Path, stage: int, steps: int) -> pathlib.Path:
    """Runs one stage of the recipe; the second goes on from the first. Returns its checkpoint."""
    overrides = [f"data.path={data.csv}", *data.pretraining, f"run.output_dir={output / f'stage{stage}'}"]
    overrides += [f"optim.total_steps={steps}", f"optim.warmup_steps={steps // 10}"]
    if stage == 2:
        first = next((output / "stage1").glob("checkpoint_*"))
        # Mixtures double the rows, so half the clones keep the cost; a trained model takes a smaller rate.
        overrides += ["objective.name=sslam_stage2", "objective.clones=2"]
        overrides += [f"model.init_from={first}", "optim.learning_rate=5e-4"]
    return pretrain(load_arguments(RECIPE, overrides))


def probe_all(checkpoints: dict[str, pathlib.Path], data: DemoData) -> dict[str, dict[str, dict[str, float]]]:
    """Task -> encoder -> metrics of a linear probe; the encoders are random weights and the given checkpoints."""
    models = {name: AutoModel.from_pretrained(path) for name, path in checkpoints.items()}
    last = list(checkpoints.values())[-1]
    models = {"random weights": random_twin(models[next(iter(models))], seed=0)} | models
    feature_extractor = AutoFeatureExtractor.from_pretrained(last)
    results = {}
    for task, (labelled, evaluation) in data.tasks.items():
        clips = labelled_clips(labelled, evaluation, feature_extractor)
        options = ProbeOptions(probes=PROBE)
        results[task] = {name: probe_model(model, clips, options)[PROBE] for name, model in models.items()}
    return results


def labelled_clips(labelled: dict, evaluation: dict, feature_extractor) -> ProbeData:
    return load_probe_data(
        LabelledDataArguments(**labelled, num_workers=1), EvaluationArguments(**evaluation), feature_extractor
    )


def finetune_last_task(data: DemoData, checkpoint: pathlib.Path, output: pathlib.Path, steps: int) -> dict[str, float]:
    """Fine-tunes the pretrained encoder on the last task. Returns the metrics of the saved model."""
    labelled, evaluation = list(data.tasks.values())[-1]
    several = labelled.get("label_separator") is not None
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    audio = {"target_length": extractor.target_length, "mean": extractor.mean, "std": extractor.std}
    sections = {  # no augmentation: it pays in long runs, and this one is a few epochs
        "model": {"init_from": str(checkpoint), "pooling": "mean"},
        "data": labelled | audio | {"batch_size": 16, "num_workers": 1},
        "evaluation": evaluation,
        "optim": {"learning_rate": 2e-3, "warmup_steps": steps // 10, "total_steps": steps, "layer_decay": 0.75},
        "run": {"output_dir": str(output / "model"), "evaluate_every": -(-steps // 2), "log_every": 10},
    }
    sections["optim"]["loss"] = "bce_per_label" if several else "cross_entropy"
    return finetune(build_arguments(sections, FinetuneArguments))


def classify_one(data: DemoData, output: pathlib.Path) -> dict:
    """Loads the saved model as a user would and classifies the first evaluation clip."""
    labelled, evaluation = list(data.tasks.values())[-1]
    test = LabelledDataArguments(**labelled)
    rows = load_labelled_rows(EvaluationArguments(**evaluation).applied_to(test))
    file = rows.rows[0]["audio"]["path"]
    classifier = pipeline(
        "audio-classification", model=str(output / "model"), pipeline_class=SslamAudioClassificationPipeline
    )
    scores = {score["label"]: round(score["score"], 3) for score in classifier(file, top_k=4)}
    return {"file": file, "labels": rows.names[0], "scores": scores}


def draw(data: DemoData, checkpoint: pathlib.Path, output: pathlib.Path, probes: dict) -> None:
    """The pictures: masks and mixtures are those that the stage-2 objective would draw for two training clips."""
    stages = {f"Stage {stage}": read_metrics(output / f"stage{stage}" / "metrics.jsonl") for stage in (1, 2)}
    plot_training(output / "training.png", stages)
    names = {task: METRICS[labelled.get("label_separator") is not None] for task, (labelled, _) in data.tasks.items()}
    plot_probes(
        output / "probe.png",
        {
            f"{task}\n({names[task][1]})": {name: metrics[names[task][0]] for name, metrics in encoders.items()}
            for task, encoders in probes.items()
        },
    )
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    labelled, evaluation = list(data.tasks.values())[-1]
    clips = labelled_clips(labelled, evaluation, extractor).evaluation.features["input_values"][:2]
    model = AutoModelForPreTraining.from_pretrained(checkpoint)
    recipe = load_arguments(checkpoint / "recipe.yaml")
    objective = build_objective(recipe.objective.name, recipe.objective.options, model)
    generator, batch = torch.Generator().manual_seed(0), {"input_values": clips}
    mask, windows = objective.mask(batch, generator), objective.windows(batch, generator)
    plot_masked_spectrogram(output / "mask.png", clips[1], mask[-1], model.config.patch_size)
    window = objective.window(clips.shape[1])
    mixture = mix_with_neighbours(clips, unmixed_frames(windows, clips.shape[1], window))
    plot_mixture(output / "mixture.png", clips[1], clips[0], mixture[1], windows[0].tolist(), window)


def clear(output: pathlib.Path) -> None:
    """An empty folder; what an earlier demo wrote there is deleted.

    Raises:
        ValueError: the folder holds something else.
    """
    if output.exists() and any(output.iterdir()) and not (output / MARK).exists():
        raise ValueError(f"{output} holds something other than an earlier demo: choose another --output")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / MARK).touch()


def run_demo(data_folder: pathlib.Path | None, output: pathlib.Path, effort: Effort) -> dict:
    """The whole demo. Returns what it writes to `results.json`."""
    clear(output)
    watch = Stopwatch()
    if data_folder is None:
        data = watch.run("sound bank", synthetic_data, output / "bank", effort.clips)
    else:
        data = real_data(data_folder)
    stage1 = watch.run("stage 1: masked clips", pretrain_stage, data, output, 1, effort.stage1_steps)
    stage2 = watch.run("stage 2: mixtures", pretrain_stage, data, output, 2, effort.stage2_steps)
    probes = watch.run("probes", probe_all, {"stage 1": stage1, "stage 2": stage2}, data)
    finetuned = watch.run("fine-tuning", finetune_last_task, data, stage2, output, effort.finetune_steps)
    example = watch.run("pipeline", classify_one, data, output)
    watch.run("pictures", draw, data, stage2, output, probes)
    results = {
        **describe_run(str(output / "model"), "generated sounds" if data_folder is None else data.csv.stem),
        "effort": dataclasses.asdict(effort),
        "probe": probes,
        "finetune": finetuned,
        "example": example,
        "seconds": watch.seconds | {"total": round(sum(watch.seconds.values()), 1)},
    }
    (output / "results.json").write_text(json.dumps(results, indent=2))
    return results


def summarize(results: dict, output: pathlib.Path) -> None:
    print("\nFrozen encoder, linear probe on the mean patch token:")
    for task, encoders in results["probe"].items():
        metric, label = next(entry for entry in METRICS.values() if entry[0] in next(iter(encoders.values())))
        scores = ", ".join(f"{name} {metrics[metric]:.3f}" for name, metrics in encoders.items())
        print(f"  {task} ({label}): {scores}")
    finetuned = results["finetune"]
    metric, label = next(entry for entry in METRICS.values() if f"eval_{entry[0]}" in finetuned)
    print(f"Fine-tuned on {list(results['probe'])[-1]}: {label} {finetuned[f'eval_{metric}']:.3f}")
    example = results["example"]
    scores = ", ".join(f"{label} {score:.2f}" for label, score in example["scores"].items())
    print(f"pipeline({pathlib.Path(example['file']).name}), which holds {', '.join(example['labels'])}: {scores}")
    print(f"{results['seconds']['total']:.0f} s in all. In {output}/:")
    for name in ("model/", "results.json", *sorted(path.name for path in output.glob("*.png"))):
        print(f"  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="folder with a CSV and audio/, instead of generated sounds")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("outputs/demo"))
    parser.add_argument("--reduced", action="store_true", help="so few updates that the scores mean nothing")
    options = parser.parse_args()
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(max(1, num_cores() - 1))  # one core decodes
    results = run_demo(options.data, options.output, REDUCED if options.reduced else FULL)
    summarize(results, options.output)


if __name__ == "__main__":
    main()
