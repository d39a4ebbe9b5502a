"""A variant whose answers are looked at: once its engine is dropped, another engine answers in its place."""

from collections.abc import Callable

import numpy as np

from tidegate.engines.engine import Answer, Array, Variant
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.models.ladder import OperatingPoint

HeldAgainst = Callable[[str | None], bool]
"""Takes what an engine was found to do, if anything; gives whether it is dropped."""


class NoEngineLeftError(TidegateError):
    """The engine of a point was dropped, and no other engine here runs it."""

    exit_code = EX_UNAVAILABLE


class WatchedVariant:
    """Hands on what a variant answers, as long as that is numbers and nothing is held against its engine."""

    def __init__(
        self, variant: Variant, engine: str, held_against: HeldAgainst, other: Callable[[], Variant | None]
    ) -> None:
        """`engine` is the variant's. `other` gives the point on another one; None where there is none."""
        self._variant = variant
        self._engine: str | None = engine
        self._held_against = held_against
        self._other = other

    @property
    def point(self) -> OperatingPoint:
        """The operating point it answers at."""
        return self._variant.point

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights held."""
        return self._variant.weights_resident_bytes

    def run(self, batch: Array) -> Answer:
        """Answer a batch. Raises NoEngineLeftError."""
        if not self._held_against(None):
            answer = self._variant.run(batch)
            found = _found(answer.outputs, batch, self.point.name)
            if found is None or not self._held_against(found):
                return answer if self._engine is None else answer._replace(engine=self._engine)
        other = self._other()
        if other is None:
            raise NoEngineLeftError(f"{self.point.name}: its engine is dropped, no other one here runs this point")
        self._variant.release()
        self._variant = other
        self._engine, self._held_against = None, _nothing
        return self._variant.run(batch)

    def release(self) -> None:
        """Give memory back."""
        self._variant.release()


def _found(outputs: Array, batch: Array, point: str) -> str | None:
    """What is wrong with outputs (samples, ...): that they are no numbers, unless the inputs were none."""
    if np.isfinite(outputs).all() or not np.isfinite(batch).all():
        return None
    rows = int((~np.isfinite(outputs).reshape(len(outputs), -1).all(1)).sum())
    return f"answered {rows} of {len(outputs)} inputs at {point} with what is no number"


def _nothing(found: str | None) -> bool:  # noqa: ARG001 - what is found is held against the engine by the inner one
    """The variant within looks for itself."""
    return False
