"""Asks an agent without a pause for a while, as a client that comes back after a 503 does."""

import threading
import time
from dataclasses import replace
from pathlib import Path

from tidegate.demo.client import LoadClient, LoadSummary
from tidegate.models.bundle import open_bundle

RATE_HZ = 25.0


class Asking:
    """A client in a thread from entry to exit; `summary` is what it saw."""

    def __init__(self, bundle: Path, unix: Path) -> None:
        opened = open_bundle(bundle)
        samples = opened.samples()
        self._client = LoadClient(opened.model, opened.input.name, unix, None)
        arguments = samples.raw, samples.labels, RATE_HZ, time.monotonic() + 86_400.0
        self._thread = threading.Thread(target=self._client.run, args=arguments, daemon=True)

    @property
    def summary(self) -> LoadSummary:
        """The counts; the percentiles once it has ended."""
        return replace(self._client.summary)

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stopping = True
        self._thread.join(60)
