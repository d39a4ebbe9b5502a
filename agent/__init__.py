"""tidegate: keeps neural networks answering on devices that run on batteries and get hot."""

from datetime import UTC, datetime

__version__ = "0.1.0"
RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""No device runs this before it was written, whatever its clock says."""
