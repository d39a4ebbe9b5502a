"""The pictures of the calibration benchmark, and whether its net has something to lose on them."""

import numpy as np
import pytest
import torch

from tidegate_bench.ladder.calibration import PIXEL_SCALE
from tidegate_bench.ladder.large_digits import Stage, large_digits, trained_resnet18

SIDE = 32


@pytest.mark.slow  # trains a ResNet-18: 76 s on a slow processor
def test_the_trained_net_tells_pictures_apart_that_it_was_not_trained_on() -> None:
    split = large_digits((300, 60, 20, 10), SIDE)
    assert split.search.inputs.shape == (60, 3, SIDE, SIDE)
    assert split.search.inputs.dtype == np.uint8
    assert split.search.inputs.max() > 200
    net = trained_resnet18(split, PIXEL_SCALE, stages=(Stage(1, 8, 2e-3),))
    with torch.no_grad():
        answers = net(torch.from_numpy(split.search.inputs).float() * PIXEL_SCALE).argmax(1).numpy()
    assert (answers == split.search.known_labels).mean() > 0.5
