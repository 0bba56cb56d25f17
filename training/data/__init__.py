"""From rows of audio to batches of tensors."""
