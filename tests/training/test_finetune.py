"""Fine-tuning as users run it, on a tiny model and a small sound bank."""

import dataclasses
import json
import pathlib

import pytest
import torch
from transformers import AutoModelForAudioClassification, TrainerCallback, pipeline

from modeling_sslam import SsastConfig, SsastForPreTraining, SslamModel
from modeling_sslam.pipelines.audio_classification import SslamAudioClassificationPipeline
from tests.labelled_clips import data_section, evaluation_section, write_checkpoint, write_clips
from tests.training.soundscapes.sound_folders import write_collections, write_recipe
from training.finetune import build_trainer, finetune
from training.objectives.classification import bce_per_label
from training.optim.schedules import PlateauSchedule, learning_rate
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import build_arguments, load_arguments, read_sections
from training.sound_bank import EVENTS
from training.soundscapes.production import produce

RECIPES = pathlib.Path(__file__).parents[2] / "training" / "recipes"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def sections(clips, checkpoint, tmp_path):
    """A run of six updates with everything switched on."""
    return {
        "model": {"init_from": str(checkpoint), "drop_path_rate": 0.1},
        "data": data_section(clips, "soundscape"),
        "evaluation": evaluation_section("soundscape"),
        "augment": {"roll": True, "noise": True, "mixup_alpha": 0.8, "mask_ratio": 0.2},
        "optim": {"learning_rate": 1e-3, "warmup_steps": 1, "total_steps": 6},
        "run": {"output_dir": str(tmp_path / "run"), "log_every": 1, "evaluate_every": 2},
    }


def arguments(sections) -> FinetuneArguments:
    return build_arguments(sections, FinetuneArguments)


def train(sections):
    trainer = build_trainer(arguments(sections))
    trainer.train()
    return trainer


def losses(trainer) -> list[float]:
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def test_multi_label_run_saves_its_best_model(sections, clips):
    results = finetune(arguments(sections))
    output = pathlib.Path(sections["run"]["output_dir"])
    assert 0 < results["eval_mean_average_precision"] <= 1
    assert json.loads((output / "results.json").read_text())["finetune"] == results
    model = AutoModelForAudioClassification.from_pretrained(output)
    assert list(model.config.id2label.values()) == sorted(EVENTS)
    assert model.config.problem_type == "multi_label_classification"
    state = json.loads(next(output.glob("checkpoint-*/trainer_state.json")).read_text())
    history = [line["eval_mean_average_precision"] for line in state["log_history"] if "eval_loss" in line]
    assert results["eval_mean_average_precision"] == pytest.approx(max(history))

    classifier = pipeline(
        "audio-classification", model=str(output), pipeline_class=SslamAudioClassificationPipeline, top_k=None
    )
    scores = classifier(str(next(clips.parent.rglob("*.flac"))))
    assert {score["label"] for score in scores} == set(EVENTS)


def test_single_label_run(sections, clips):
    sections["data"], sections["evaluation"] = data_section(clips, "event"), evaluation_section("event")
    sections["augment"] = {"mask_ratio": 0.4}
    sections["optim"] |= {"loss": "cross_entropy", "label_smoothing": 0.1}
    results = finetune(arguments(sections))
    assert 0 <= results["eval_accuracy"] <= 1


def test_losses_do_not_depend_on_the_number_of_workers(sections):
    sections["model"]["drop_path_rate"] = 0.0
    alone = losses(train(sections))
    sections["data"]["num_workers"] = 2
    assert losses(train(sections)) == alone
    assert len(set(alone)) == len(alone)


def test_soundscapes_are_new_in_every_epoch_and_the_same_when_resumed(sections, clips, tmp_path):
    """Three epochs of two updates, chosen by written clips; also with workers."""
    soundscapes = write_collections(tmp_path)
    soundscapes.output.num_soundscapes = 9
    recipe = write_recipe(tmp_path / "train.yaml", soundscapes)
    files = dataclasses.replace(soundscapes.output, folder=str(tmp_path / "set"), num_soundscapes=6, seed=1)
    produce(dataclasses.replace(soundscapes, output=files))
    sections["model"]["drop_path_rate"] = 0.0
    sections["data"] |= {"format": "soundscapes", "path": recipe, "filters": {}, "label_separator": ";"}
    sections["evaluation"] = {"format": "csv", "path": str(tmp_path / "set" / "clips.csv")}
    heard = []
    trainer = build_trainer(arguments(sections))
    render = trainer.train_dataset.source.generator.render
    trainer.train_dataset.source.generator.render = lambda index: heard.append(index) or render(index)
    trainer.train()
    assert sorted(heard) == [*range(8), *range(9, 17), *range(18, 26)]
    assert list(trainer.model.config.id2label.values()) == ["bell", "dog", "glass"]
    sections["data"]["num_workers"] = 2
    sections["run"]["output_dir"] = str(tmp_path / "again")
    again = train(sections)
    assert losses(again) == losses(trainer)
    resumed = build_trainer(arguments(sections))
    resumed.train(resume_from_checkpoint=str(next((tmp_path / "again").glob("checkpoint-*"))))
    assert losses(resumed)[-1] == losses(trainer)[-1]


def test_student_encoder_is_loaded_and_the_head_is_new(sections, checkpoint):
    model = build_trainer(arguments(sections)).model
    encoder = SslamModel.from_pretrained(checkpoint).state_dict()
    for name, weight in model.sslam.state_dict().items():
        assert torch.equal(weight.cpu(), encoder[name]), name
    assert model.classifier.dense.weight.shape == (len(EVENTS), model.config.hidden_size)
    assert [layer.drop_path.rate for layer in model.sslam.layers] == pytest.approx([0.0, 0.1])


def test_ssast_has_a_position_to_train_for_every_patch_of_the_clips(sections, tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    SsastForPreTraining(SsastConfig(**sizes, position_grid=(4, 8))).save_pretrained(tmp_path)
    sections["model"] = {"init_from": str(tmp_path), "patch_stride": [10, 10]}
    model = build_trainer(arguments(sections)).model
    assert model.config.position_grid == (12, 12)
    assert model.ssast.embeddings.position_embeddings.shape == (1, 2 + 12 * 12, 32)


def test_loss_is_divided_by_the_positive_labels(sections):
    trainer = build_trainer(arguments(sections))
    batch = trainer._prepare_inputs(next(iter(trainer.get_eval_dataloader())))
    trainer.model.eval()
    loss, outputs = trainer.compute_loss(trainer.model, batch, return_outputs=True)
    elements, _ = bce_per_label(outputs.logits, batch["labels"])
    torch.testing.assert_close(loss, elements.sum() / batch["labels"].sum())


def test_every_layer_follows_its_own_schedule(sections):
    sections["optim"] |= {
        "learning_rate": 1e-3,
        "floor": 5e-4,
        "layer_decay": 0.5,
        "warmup_steps": 2,
        "total_steps": 6,
    }
    trainer = build_trainer(arguments(sections))
    rates = {}
    for _ in range(6):
        for group in trainer.optimizer.param_groups:
            rates.setdefault(group["peak"], []).append(group["lr"])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates[1e-3] == pytest.approx([learning_rate(step, 1e-3, 2, 6, 5e-4) for step in range(6)])
    assert rates[2.5e-4] == [2.5e-4] * 6  # the lowest layer's peak is below the floor: a constant rate


def test_linear_evaluation_trains_the_head_alone(sections):
    sections["model"]["freeze_encoder"] = True
    sections["optim"]["total_steps"] = 2
    before = build_trainer(arguments(sections)).model.state_dict()
    before = {name: weight.clone() for name, weight in before.items()}
    trainer = train(sections)
    changed = {name for name, weight in trainer.model.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {name for name, _ in trainer.model.named_parameters() if name.startswith("classifier.")}
    assert all(not parameter.requires_grad for parameter in trainer.model.sslam.parameters())


def test_all_layers_below_a_frozen_encoder(sections, clips):
    sections["data"], sections["evaluation"] = data_section(clips, "event"), evaluation_section("event")
    sections["model"] |= {"head": "weighted_layers", "freeze_encoder": True}
    sections["augment"] = {}
    sections["optim"] |= {"loss": "cross_entropy", "optimizer": "adam", "total_steps": 2, "warmup_steps": 0}
    trainer = build_trainer(arguments(sections))
    assert trainer.train_dataset[0]["attention_mask"].sum() == 128
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    trainer.train()
    changed = {name for name, weight in trainer.model.state_dict().items() if not torch.equal(weight, before[name])}
    assert {name.split(".")[0] for name in changed} == {"head"}
    assert 0 <= trainer.measure()["eval_accuracy"] <= 1


def test_epochs_ensemble_and_mean_weights(sections, clips):
    """Two updates an epoch: the saved weights are the mean of those after the second and the third epoch."""
    sections["test"] = {"filters": {"kind": ["event"], "split": ["train"]}}
    sections["augment"] = {"waveform_mixup": 0.5, "frequency_mask": 24, "time_mask": 48, "noise": True}
    sections["optim"] = {"loss": "bce_mean", "optimizer": "adam", "schedule": "epochs", "epochs": 3}
    sections["optim"] |= {"warmup_steps": 2, "warmup_block": 2, "decay_first": 2, "decay_every": 1}
    sections["optim"] |= {"learning_rate": 1e-3, "head_factor": 10.0, "layer_decay": 1.0}
    sections["average"] = {"scores": True, "first_epoch": 2, "last_epoch": 3}
    sections["run"] |= {"evaluate_every": None}
    results = finetune(arguments(sections))
    assert {"eval_mean_average_precision", "eval_cumulative_mean_average_precision"} < results.keys()
    assert 0 < results["test_mean_average_precision"] <= 1
    output = pathlib.Path(sections["run"]["output_dir"])
    sections["run"] |= {"output_dir": f"{output}_again"}
    trainer = build_trainer(arguments(sections))
    after = {}
    trainer.add_callback(WeightRecorder(after))
    trainer.train()
    rates = [line["learning_rate"] for line in trainer.state.log_history if "loss" in line]
    assert rates == pytest.approx([0, 0, 1e-3, 1e-3, 5e-4, 5e-4])
    saved = AutoModelForAudioClassification.from_pretrained(output).state_dict()
    for name, weight in saved.items():
        torch.testing.assert_close(weight, (after[2][name] + after[3][name]) / 2, msg=name)


class WeightRecorder(TrainerCallback):
    """Keeps the weights after every epoch."""

    def __init__(self, after: dict[int, dict[str, torch.Tensor]]):
        self.after = after

    def on_epoch_end(self, args, state, control, model, **kwargs):
        self.after[round(state.epoch)] = {name: weight.clone() for name, weight in model.state_dict().items()}


def test_a_resumed_run_has_the_same_means(sections):
    sections["average"] = {"scores": True}
    whole = finetune(arguments(sections))
    output = pathlib.Path(sections["run"]["output_dir"])
    (checkpoint,) = output.glob("checkpoint-*")
    sections["run"] |= {"output_dir": f"{output}_resumed", "resume": str(checkpoint)}
    resumed = finetune(arguments(sections))
    name = "eval_cumulative_mean_average_precision"
    assert resumed[name] == pytest.approx(whole[name])


def plateau_rates(sections, resume: str | None = None) -> list[float]:
    """Rate of each update, over 1e-7, at which the model hardly moves: no evaluation is better than the first."""
    sections["optim"] |= {"schedule": "plateau", "warmup_steps": 0, "total_steps": 8}
    sections["optim"] |= {"layer_decay": 1.0, "learning_rate": 1e-7}
    trainer = build_trainer(arguments(sections))
    trainer.train(resume_from_checkpoint=resume)
    return [line["learning_rate"] / 1e-7 for line in trainer.state.log_history if "loss" in line]


def test_plateau_watches_the_metric_that_picks_the_checkpoint(sections, monkeypatch):
    watched = []
    monkeypatch.setattr(PlateauSchedule, "observe", recording(PlateauSchedule.observe, watched))
    sections["optim"]["patience"] = 0
    assert plateau_rates(sections) == pytest.approx([1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25])
    state = pathlib.Path(sections["run"]["output_dir"]) / "checkpoint-2" / "trainer_state.json"
    assert watched == pytest.approx([json.loads(state.read_text())["best_metric"]] * 4)


def recording(method, values: list[float]):
    def recorded(self, value: float) -> None:
        values.append(value)
        method(self, value)

    return recorded


def test_plateau_goes_on_from_a_checkpoint(sections):
    sections["optim"]["patience"] = 1
    whole = plateau_rates(sections)
    assert whole == pytest.approx([1, 1, 1, 1, 1, 1, 0.5, 0.5])
    output = pathlib.Path(sections["run"]["output_dir"])
    sections["run"]["output_dir"] = f"{output}_resumed"
    assert plateau_rates(sections, resume=str(output / "checkpoint-2")) == whole


def test_a_run_that_no_longer_improves_ends(sections):
    """The model hardly moves: no evaluation is better than the first, after the second update."""
    sections["optim"] |= {"warmup_steps": 0, "total_steps": 40, "layer_decay": 1.0, "learning_rate": 1e-7}
    sections["run"]["early_stop"] = 3
    assert train(sections).state.global_step == 8

    sections["run"]["output_dir"] += "_killed"
    killed = build_trainer(arguments(sections))
    killed.add_callback(Killer(6))
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = build_trainer(arguments(sections))
    checkpoint = f"{sections['run']['output_dir']}/checkpoint-6"  # after two bad evaluations of three
    resumed.train(resume_from_checkpoint=checkpoint)
    assert resumed.state.global_step == 8


class Killer(TrainerCallback):
    """Ends a run after the checkpoint of an update."""

    def __init__(self, step: int):
        self.step = step

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_a_test_section_with_a_length_alone_has_the_evaluation_clips(sections):
    sections["data"]["fit"], sections["data"]["target_length"] = "crop", 64
    sections["evaluation"]["target_length"], sections["test"] = 256, {"target_length": 100}
    sections["optim"]["total_steps"] = 2
    trainer = build_trainer(arguments(sections))
    lengths = [len(clips[0]["input_values"]) for clips in (trainer.eval_dataset, trainer.test_dataset)]
    assert (len(trainer.train_dataset[0, 1]["input_values"]), *lengths) == (64, 256, 100)
    assert trainer.eval_dataset.source.rows["audio"] == trainer.test_dataset.source.rows["audio"]
    assert trainer.train_dataset.source.rows["audio"] != trainer.test_dataset.source.rows["audio"]
    trainer.train()
    assert 0 < trainer.measure()["test_mean_average_precision"] <= 1


def test_softmax_scores_are_ranked_too(sections, clips):
    sections["data"], sections["evaluation"] = data_section(clips, "event"), evaluation_section("event")
    sections["optim"] |= {"loss": "cross_entropy", "total_steps": 2}
    sections["run"] |= {"softmax_metrics": True, "metric": "accuracy"}
    results = finetune(arguments(sections))
    assert {"eval_accuracy", "eval_mean_average_precision", "eval_mean_auc", "eval_d_prime"} < results.keys()


@pytest.mark.parametrize("head", ["own", "weighted_layers"])
def test_a_classifier_can_start_from_random_weights(sections, head):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "num_mel_bins": 40, "patch_size": [4, 8]}
    sections["model"] = sizes | {"model_type": "ssam", "head": head}
    sections["optim"]["total_steps"] = 2
    first, second = (build_trainer(arguments(sections)) for _ in range(2))
    assert first.model.config.model_type == "ssam"
    assert first.processing_class.num_mel_bins == 40
    assert list(first.model.config.id2label.values()) == sorted(EVENTS)
    weights = second.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in first.model.state_dict().items())
    first.train()
    assert 0 < first.measure()["eval_mean_average_precision"] <= 1


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("data", {"batch_size": 3}, "data.batch_size is 3: mixup pairs the clips of a batch, so it must be even"),
        ("optim", {"warmup_steps": 6}, "optim.warmup_steps is 6: it must be at least 0 and less than"),
        ("optim", {"loss": "mse"}, "unknown loss 'mse'"),
        (
            "model",
            {"init_from": ""},
            "model.init_from and model.model_type are empty: name the folder of a pretrained",
        ),
        ("model", {"model_type": "sslam"}, "model.model_type is 'sslam', but model.init_from brings a model"),
        ("model", {"init_from": "", "model_type": "bert"}, "unknown field of section model: drop_path_rate; known: "),
        ("model", {"init_from": "", "model_type": "deep"}, "model.model_type is 'deep', which no registered family"),
        ("model", {"depth": 3}, "unknown field of section model: depth"),
        ("model", {"head": "deep"}, "model.head is 'deep': choose own or weighted_layers"),
        ("optim", {"schedule": "linear", "warmup_block": 1}, "'linear': choose one of cosine, plateau, epochs"),
        ("data", {"crop": "random"}, "unknown field of section data: crop; known: "),
        ("optim", {"epochs": 0}, "optim.epochs is 0: it must be at least 1"),
        ("augment", {"waveform_mixup": 2.0}, "augment.waveform_mixup is 2.0: it is a share"),
        ("augment", {"random_mask_bins": 2.0}, "augment.random_mask_bins is 2.0: it is a share of the axis"),
        ("augment", {"random_masks": -1}, "augment.random_masks is -1: it is a number of bands"),
        ("augment", {"mixup_pairs": "all"}, "augment.mixup_pairs is 'all': choose mirror or permutation"),
        ("augment", {"mixup_seed": 3}, "augment.mixup_seed is 3: it seeds the weights of augment.mixup_pairs=perm"),
        ("augment", {"minimum_padding": 0.5}, "is 0.5, but data.fit is 'extractor', which pads with silence"),
        ("data", {"fit": "wrap"}, "data.fit is 'wrap': choose extractor or crop"),
        ("evaluation", {"target_length": 0}, "target_length is 0: it must be at least 1"),
        ("run", {"early_stop": 0}, "run.early_stop is 0: it must be at least 1, or null for none"),
        ("run", {"softmax_metrics": True}, "run.softmax_metrics is for one label a clip, but data.label_separator"),
    ],
)
def test_settings_that_cannot_be_used(sections, section, values, message):
    sections[section] |= values
    with pytest.raises(ValueError, match=message):
        build_trainer(arguments(sections))


PUBLISHED = {  # frames, peak rate, updates, warm-up, batch, mixup alpha, mask ratio
    "finetune_as20k": (1024, 5e-5, 40_000, 4_000, 48, 0.8, 0.2),
    "finetune_as2m_eat": (1024, 5e-5, 300_000, 30_000, 96, 0.8, 0.2),
    "finetune_as2m_sslam": (1024, 5e-5, 400_000, 40_000, 96, 0.8, 0.2),
    "finetune_esc50": (512, 5e-5, 4_000, 400, 48, 0, 0.4),
    "finetune_spc2": (128, 2e-4, 40_000, 4_000, 256, 0.8, 0.2),
    "finetune_spass": (1024, 5e-5, 3906, 390, 48, 0.8, 0.2),
    "linear_spass": (1024, 1e-3, 3906, 0, 48, 0.8, 0.2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe_is_the_published_one(name):
    recipe = load_arguments(RECIPES / f"{name}.yaml", [], FinetuneArguments)
    data, optim, augment = recipe.data, recipe.optim, recipe.augment
    sizes = (data.target_length, optim.learning_rate, optim.total_steps, optim.warmup_steps, data.batch_size)
    assert (*sizes, augment.mixup_alpha, augment.mask_ratio) == PUBLISHED[name]
    assert augment.roll
    assert recipe.model.options == {"drop_path_rate": 0.1}


def test_every_recipe_of_fine_tuning_is_checked_here_or_with_ssast():
    names = {path.stem for path in RECIPES.glob("*.yaml") if "objective" not in read_sections(path)}
    elsewhere = ("ssast", "superb", "gise51", "study")  # in tests/training/recipes, and what no paper has published
    assert {name for name in names if not any(part in name for part in elsewhere)} == set(PUBLISHED)
