"""MLX: the one place that loads it. In a worker or a child, never in the supervisor."""

import mlx.core as mx

Tensor = mx.array

__all__ = ["Tensor", "mx"]
