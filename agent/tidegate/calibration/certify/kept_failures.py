"""Failures on part C that an interrupted calibration had counted, on disk."""

import hashlib
import json
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from tidegate.calibration.json_lines import append_line, whole_lines
from tidegate.models.comparing import Mask

_FAILED = TypeAdapter(tuple[str, str])


class KeptFailures:
    """Which samples failed, by point, for the points that were counted so far with one engine."""

    def __init__(self, path: Path, engine: str, samples: int) -> None:
        self._path = path
        self._engine = engine
        self._samples = samples
        self._known = dict(whole_lines(path, _FAILED))

    def of(self, point: object) -> Mask | None:
        """Which samples fail at the point, bool (samples,); None when it was not counted."""
        packed = self._known.get(self._name(point))
        if packed is None:
            return None
        bits = np.frombuffer(bytes.fromhex(packed), np.uint8)
        return np.unpackbits(bits, count=self._samples).astype(np.bool_)

    def add(self, point: object, failed: Mask) -> None:
        """Keep a point's; `failed` is bool (samples,)."""
        append_line(self._path, _FAILED.dump_json((self._name(point), np.packbits(failed).tobytes().hex())))

    def _name(self, point: object) -> str:
        """The same for the same point after an interruption: a hash of all that it holds, sets in order.

        With the engine, as points in fp32 name the reference engine wherever they run.
        """
        held = TypeAdapter(type(point)).dump_python(point)
        text = json.dumps([self._engine, held], sort_keys=True, default=sorted)
        return hashlib.sha256(text.encode()).hexdigest()
