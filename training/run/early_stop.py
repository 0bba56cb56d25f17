"""Ends a fine-tuning run that no longer improves."""

from __future__ import annotations

from transformers import EarlyStoppingCallback, TrainingArguments


def watched_metric(args: TrainingArguments) -> str:
    """The metric that picks the checkpoint, as an evaluation names it; that of other clips lacks it."""
    return f"eval_{args.metric_for_best_model.removeprefix('eval_')}"


class EarlyStop(EarlyStoppingCallback):
    """After so many evaluations in a row no better than the best one, by the metric that picks the checkpoint.

    Where `TrainingArguments.restore_callback_states_from_checkpoint` is set, a resumed run goes on counting, to the
    number that it began with.

    Args:
        early_stopping_patience: number of these evaluations.
    """

    def on_evaluate(self, args, state, control, metrics: dict[str, float], **kwargs) -> None:
        if watched_metric(args) in metrics:  # other clips are measured too, when the run is over
            super().on_evaluate(args, state, control, metrics, **kwargs)
