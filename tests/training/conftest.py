"""What tests of several parts of `training` share."""

import matplotlib.image
import pytest


@pytest.fixture
def picture(tmp_path):
    """A path for a picture; afterwards it must hold one that is not blank."""
    path = tmp_path / "pictures" / "picture.png"
    yield path
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.05
