"""AA-ReLU on a value in the form in which it travels; in float32 bit by bit what tidegate.models.aa_relu gives."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

from tidegate.engines.fusion import Adaptation
from tidegate.engines.packed.forms import Form, dequantize, quantize
from tidegate.engines.quantization import LEVELS, Grid
from tidegate.models import aa_relu

Adapt = Callable[[Tensor], Tensor]


def adapter(adaptation: Adaptation, form: Form) -> Adapt:
    """What writes the adapted values over a value, which must be nobody else's.

    Codes with a zero of 0 stay codes: values below the threshold are then told by their codes, so that one within
    half a step of it may fall on the other side.
    """
    setting, floor = adaptation.setting, adaptation.floor
    if not isinstance(form, Grid):
        return lambda x: _adapt_floats(x, adaptation)
    if form.zero != 0 or setting.bits is not None:
        return lambda codes: quantize(aa_relu.adapted(dequantize(codes, form), setting, floor), form)
    least = math.ceil(setting.threshold / form.scale)
    most = LEVELS if math.isinf(setting.clip) else min(LEVELS, round(setting.clip / form.scale))

    def adapt(codes: Tensor) -> Tensor:
        if least > 1:
            codes = torch.threshold_(codes, min(least - 1, LEVELS), 0)
        return codes.clamp_(max=most) if most < LEVELS else codes

    return adapt


def _adapt_floats(x: Tensor, adaptation: Adaptation) -> Tensor:
    setting = adaptation.setting
    if setting.threshold > 0:
        # The operators drop what is at most their threshold; a value that equals it is to stay.
        below = float(np.nextafter(np.float32(setting.threshold), np.float32(0)))
        x = torch.threshold_(x, below, 0.0) if adaptation.floor == 0 else x.copy_(F.hardshrink(x, below))
    if not math.isinf(setting.clip):
        x = x.clamp_(-setting.clip, setting.clip)
    if setting.bits is None:
        return x
    grid = aa_relu.Grid.of(setting, adaptation.floor)
    return x.copy_(grid.codes(x)).mul_(grid.step)
