"""AA-ReLU in a program: `tidegate.models.aa_relu` as MLX calls."""

import math

from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.plan.adapted import Adapted


def adapted_values(x: Tensor, adapted: Adapted) -> Tensor:
    """The values after threshold, clip and rounding."""
    setting = adapted.setting
    if setting.threshold > 0:
        x = mx.where(mx.abs(x) < setting.threshold, 0.0, x)
    if setting.clip < math.inf:
        x = mx.clip(x, -setting.clip, setting.clip)
    if setting.bits is None:
        return x
    levels = 2**setting.bits - 1
    step = (setting.clip - adapted.lowest) / levels
    below_zero = math.floor(-adapted.lowest / step + 0.5)
    return mx.clip(mx.round(x / step), -below_zero, levels - below_zero) * step
