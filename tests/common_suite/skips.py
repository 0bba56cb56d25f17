"""Why a common test may skip: one table. A skip that no row covers fails the run."""

from __future__ import annotations

import re

# (pattern of the skip's reason, why it is right that this test does not run)
EXPLANATIONS = (
    # What the machine lacks; on a machine that has it, the test runs.
    (r"test requires (accelerator|multiple accelerators)", "needs a GPU, or several"),
    (r"test requires Flash Attention", "the flash-attn package needs a GPU"),
    (r"test requires MPS", "needs an Apple GPU"),
    (r"test is slow", "compiles the training step on a GPU; runs there with RUN_SLOW=1"),
    (r"test requires the kernels library", "optional compiled kernels, which we neither ship nor require"),
    (r"test requires deepspeed", "resizing a vocabulary under DeepSpeed; there is no vocabulary"),
    # What a spectrogram encoder does not have.
    (r"not (a )?composite|does not support SDPA", "for models made of several models; others test SDPA"),
    (
        r"does not (support|output) (output_)?attentions|Parts of this model don't support sdpa",
        "recurrent families have no attention",
    ),
    (r"No subconfigs", "the configuration is flat"),
    (r"(No decoder-only|No sequence-to-sequence) language modeling head", "there is no language model"),
    (r"This model doesn't use `inputs_embeds`", "the input is a spectrogram, not tokens"),
    (r"test_resize_embeddings is set to `False`", "there is no vocabulary to resize"),
    (r"does not have position embeddings", "positions are a fixed table, taken as long as the clip"),
    (r"RoPE|`base_model_class`", "positions are not rotary"),
    (r"does not support sliding window mask", "attention is global"),
    (r"router_logits|sparse experts|grouped_mm", "there are no experts"),
    (r"does not have a TP plan", "at 90 to 300 million parameters tensor parallelism has no use"),
    (r"_keep_in_fp32_modules", "no module is kept in float32 while the rest is cast"),
    (r"No conversion found", "checkpoints of ours are saved under the names of the model"),
    # SslamForPreTraining has no loss: teacher, targets and losses live in training/objectives and are tested there.
    (r"ModelTester is not configured to run training tests", "the loss of pretraining is an objective of training/"),
)


def explanation(reason: str) -> str | None:
    """Why a test may skip for this reason, or None when the table has no answer."""
    return next((why for pattern, why in EXPLANATIONS if re.search(pattern, reason)), None)
