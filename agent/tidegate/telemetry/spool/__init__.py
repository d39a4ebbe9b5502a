"""What waits for the broker, on disk: in order, within bounds, and over a power cut."""

from tidegate.telemetry.spool.spool import BEYOND_BYTES, MAX_ROW_BYTES, Spool, SpoolCounters

__all__ = ["BEYOND_BYTES", "MAX_ROW_BYTES", "Spool", "SpoolCounters"]
