"""The pictures of the calibration benchmark, and whether its net has something to lose on them."""

import numpy as np
import torch

from agent.bench.calibration import PIXEL_SCALE
from agent.bench.large_digits import fitted_resnet18, large_digits

SIDE = 32


def test_the_fitted_net_tells_pictures_apart_that_it_was_not_fitted_on() -> None:
    split = large_digits((150, 60, 20, 10), SIDE)
    assert split.search.inputs.shape == (60, 3, SIDE, SIDE)
    assert split.search.inputs.dtype == np.uint8
    assert split.search.inputs.max() > 200
    net = fitted_resnet18(split, PIXEL_SCALE)
    with torch.no_grad():
        answers = net(torch.from_numpy(split.search.inputs).float() * PIXEL_SCALE).argmax(1).numpy()
    assert (answers == split.search.known_labels).mean() > 0.5
