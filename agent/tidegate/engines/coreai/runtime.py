"""coreai-core: the one place that loads it, and its public surface alone. In a worker or a child, never in the
supervisor."""

import coreai.authoring as ops
import coreai.runtime as rt

Value = ops.Value

__all__ = ["Value", "ops", "rt"]
