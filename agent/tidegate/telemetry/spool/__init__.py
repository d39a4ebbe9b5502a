"""What waits for the broker, on disk: in order, within bounds, and over a power cut."""

from tidegate.telemetry.spool.bounds import MAX_ROW_BYTES
from tidegate.telemetry.spool.counters import SpoolCounters
from tidegate.telemetry.spool.spool import BEYOND_BYTES, Spool

__all__ = ["BEYOND_BYTES", "MAX_ROW_BYTES", "Spool", "SpoolCounters"]
