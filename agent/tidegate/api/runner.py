"""A bundle's model in the caller's process, moved along its ladder by hand or by a policy."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from tidegate.api.opened import NetworkInputs, opened_bundle, opened_policy
from tidegate.engines.engine import Answer, Engine, UnsupportedPoint, Variant
from tidegate.engines.runtime.registry import open_engine
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.errors import EX_USAGE, TidegateError
from tidegate.models.bundle import Bundle
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.paths import cache_directory
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState, Decision
from tidegate.policy.policy import Policy
from tidegate.policy.readings import LATENCY, REQUEST_RATE, UNITS
from tidegate.worker.canary import AGREEMENT_NEEDED, agreement, disagreement_in_words
from tidegate.worker.choosing import first_variant, refused_points
from tidegate_drivers import Sampler, discover
from tidegate_drivers.reading import Provenance, Reading, Snapshot

SHOWN_TIMES = 200
"""Of the latest answers, whose times make the reading `latency`."""

SERVING_AGE_S = 10.0
"""How long what was measured of answers counts as fresh."""


class RunnerError(TidegateError, ValueError):
    """What was asked of a runner can't be done; the message says what can."""

    exit_code = EX_USAGE


class Runner:
    """Answers with a bundle's model at one operating point at a time. For one thread at a time; to be closed.

    With a `policy` (a YAML file, or one that was loaded) `step` reads the device's sensors, decides as the service
    does, and moves to the point decided. Without one, `use` moves. `snapshot` stands in for the sensors, in tests
    and where readings come from elsewhere. `board` names a board profile, or its file, whose values the policy
    builds on.

    Raises BundleError, UnknownEngine, NoRightAnswer where no point answers the bundle's canaries as recorded, and
    DocumentError for a policy that isn't one.

    >>> from tidegate.paths import profiles_directory
    >>> with Runner(profiles_directory() / "bundles" / "digits", engine="onnx") as runner:
    ...     runner.use(runner.points[-1])
    ...     runner.run(runner.bundle.samples().inputs[:3]).outputs.shape
    (3, 10)
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        *,
        engine: str = AUTO,
        policy: Policy | Path | str | None = None,
        board: str | None = None,
        snapshot: Callable[[], Snapshot] | None = None,
    ) -> None:
        self.bundle = opened_bundle(bundle)
        self._inputs = NetworkInputs.of(self.bundle)
        self.policy = None if policy is None else opened_policy(policy, board)
        self._engine: Engine = open_engine(engine, self.bundle, cache_directory())
        ladder, canaries = self.bundle.ladder, self.bundle.canaries()
        self._refused = refused_points(self._engine, ladder)
        self._ladder = Ladder(tuple(point for point in ladder.points if point.name not in self._refused))
        self._canaries = canaries
        self._variant: Variant | None = first_variant(
            self._engine, ladder, canaries, ladder.full.name, self._refused
        )
        self._state = ControlState(self._variant.point.name)
        self._times_ms = deque[float](maxlen=SHOWN_TIMES)
        self._asked, self._asked_since = 0, time.monotonic()
        self._sampler: Sampler | None = None
        self._snapshot = snapshot
        if self.policy is not None and snapshot is None:
            self._sampler = Sampler(discover())
            self._sampler.start()
            self._snapshot = self._sampler.snapshot

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the points that the engine can run, full first and then by falling cost."""
        return self._ladder.names

    @property
    def point(self) -> OperatingPoint:
        """The one in use; its `certified_risk` is the most that it loses, None where nothing is certified."""
        return self._open.point

    def run(self, inputs: npt.ArrayLike) -> Answer:
        """Answer a batch (samples, *input shape), or one sample without that axis.

        Whole numbers are raw and scaled as the bundle says, floats are taken as they are. Raises InputsError for
        another shape, and RunnerError after `close`.
        """
        batch = self._inputs.taken(np.asarray(inputs))
        begun = time.perf_counter()
        answer = (self._variant or self._open).run(batch)
        self._times_ms.append((time.perf_counter() - begun) * 1e3 / max(len(batch), 1))
        self._asked += len(batch)
        return answer

    def use(self, name: str) -> None:
        """Move to a point, after it has answered the bundle's canaries as recorded.

        Raises RunnerError, and stays where it is, for a name that isn't on the ladder, a point that the engine
        can't run, and one that answers wrongly here.
        """
        self._check(name)
        if name == self.point.name:
            return
        try:
            variant = self._engine.prepare(self._ladder.points[self._ladder.rung(name)])
        except UnsupportedPoint as error:
            raise RunnerError(f"{name}: {error}") from error
        agreed = agreement(variant, self._canaries)
        if agreed < AGREEMENT_NEEDED:
            variant.release()
            raise RunnerError(f"stays at {self.point.name}: {disagreement_in_words(variant, agreed)}")
        before, self._variant = self._open, variant
        before.release()

    def step(self) -> Decision:
        """Read the device, decide by the policy, and move to the point decided; call it every second or so.

        `paused` in the decision says that the policy wants no answers now: whether to ask for one all the same is
        the caller's to say. A point that answers the canaries wrongly is left off the ladder from then on. Raises
        RunnerError without a policy.
        """
        if self.policy is None or self._snapshot is None:
            raise RunnerError("there is no policy to decide by; give Runner(..., policy=FILE)")
        before = replace(self._state, point=self.point.name)
        decision = decide(self._with_serving(self._snapshot()), self.policy, self._ladder, before, _now())
        try:
            self.use(decision.point)
        except RunnerError as error:
            if decision.point == self._ladder.full.name:
                raise
            self._refused[decision.point] = str(error)
            kept = (point for point in self._ladder.points if point.name != decision.point)
            self._ladder = Ladder(tuple(kept))
            return self.step()
        self._state = decision.state
        return decision

    def close(self) -> None:
        """Let go of the model and the sensors; a second time does nothing."""
        if self._variant is not None:
            self._variant.release()
            self._variant = None
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _open(self) -> Variant:
        if self._variant is None:
            raise RunnerError("this runner is closed")
        return self._variant

    def _check(self, name: str) -> None:
        if name in self._refused:
            raise RunnerError(f"{name}: {self._refused[name]}")
        if name not in self._ladder.names:
            raise RunnerError(f"there is no operating point {name!r}; allowed are {', '.join(self._ladder.names)}")

    def _with_serving(self, snapshot: Snapshot) -> Snapshot:
        """With what was asked of this runner since the last step."""
        now = time.monotonic()
        span_s = now - self._asked_since
        values = {}
        if span_s > 0:
            values[REQUEST_RATE] = self._asked / span_s
        if self._times_ms:
            values[LATENCY] = sorted(self._times_ms)[math.ceil(0.95 * len(self._times_ms)) - 1]
        self._asked, self._asked_since = 0, now
        serving = {
            name: Reading(value, UNITS[name], snapshot.at, Provenance.MEASURED, "runner", SERVING_AGE_S)
            for name, value in values.items()
        }
        return Snapshot(snapshot.at, {**snapshot.readings, **serving})


def _now() -> datetime:
    return datetime.now().astimezone()
