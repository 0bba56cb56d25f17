"""Features of which it is known what a probe can find in them."""

import torch


def separable(num_clips: int, several: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 8) features whose first three channels tell the classes, and (N, 3) targets."""
    generator = torch.Generator().manual_seed(num_clips)
    targets = (torch.rand(num_clips, 3, generator=generator) < 0.5).float()
    if not several:
        targets = torch.eye(3)[torch.randint(3, (num_clips,), generator=generator)]
    features = torch.randn(num_clips, 8, generator=generator)
    features[:, :3] += 8 * targets
    return features, targets
