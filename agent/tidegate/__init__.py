"""tidegate: keeps neural networks answering on devices that run on batteries and get hot."""

import os
from datetime import UTC, datetime

__version__ = "0.2.0"
RELEASED = datetime(2026, 11, 28, tzinfo=UTC)
"""No device runs this before it was written, whatever its clock says."""

# From 1.29 on ONNX Runtime writes a device id and events under ~/.cache and sends them, unless it finds this when
# it is imported. Whatever of ours a process imports comes after this line, and so does a user's model.
# Set whatever it was before: tidegate sends to the broker that agent.yaml names and to nobody else.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
