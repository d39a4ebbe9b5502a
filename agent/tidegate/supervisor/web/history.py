"""What the status page draws: the last hours of a few figures, in a ring of fixed size."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from typing import Self

from tidegate.supervisor.metrics.served_totals import ServedTotals
from tidegate.supervisor.status.agent_state import AgentState
from tidegate_drivers.reading import BATTERY, ENERGY, POWER, TEMPERATURE

EVERY_S = 10.0
ROWS = 2160
"""Six hours of rows EVERY_S apart; with longer telemetry windows more. They take 100 kB."""


@dataclass(frozen=True, slots=True)
class Row:
    """One moment, `at` in Unix time; None is what was not known then. Risk and skip ratio are shares.

    `energy_mj` is what the device used per sample answered since the row before.
    """

    at: float
    battery_percent: float | None
    power_w: float | None
    temperature_c: float | None
    rung: float | None
    certified_risk: float | None
    latency_p95_ms: float | None
    skip_ratio: float | None
    energy_mj: float | None

    @classmethod
    def of(cls, state: AgentState, energy_mj: float | None) -> Self:
        """The agent as it is."""
        served, snapshot = state.served, state.snapshot
        return cls(
            round(state.at, 1),
            snapshot.number(BATTERY),
            snapshot.number(POWER),
            snapshot.number(TEMPERATURE),
            float(state.ladder.rung(state.point.name)),
            state.point.certified_risk,
            None if served is None else served.latency_p95_ms,
            None if served is None else served.skip_ratio,
            energy_mj,
        )


COLUMNS = tuple(column.name for column in fields(Row))


class History:
    """Belongs to the event loop; `note` it once per telemetry window. Lost with the process."""

    def __init__(self, rows: int = ROWS) -> None:
        self._rows = rows
        # Times need the digits that the other columns can do without.
        self._columns = (array("d"), *(array("f") for _ in COLUMNS[1:]))
        self._next = 0
        self._noted_s = -math.inf
        self._energy_j: float | None = None
        self._samples = 0
        self.energy_mj: float | None = None
        """Per sample answered, between the last two rows; None where it can't be told."""

    def due(self, now_s: float) -> bool:
        """Whether the last row is EVERY_S old, by a monotonic clock."""
        return now_s - self._noted_s >= EVERY_S - 0.5

    def note(self, state: AgentState, totals: ServedTotals, now_s: float) -> None:
        """Keep a row."""
        self._noted_s = now_s
        self.energy_mj = self._per_sample(state.snapshot.number(ENERGY), totals.samples)
        values = astuple(Row.of(state, self.energy_mj))
        full = len(self._columns[0]) == self._rows
        for column, value in zip(self._columns, values, strict=True):
            number = math.nan if value is None else value
            if full:
                column[self._next] = number
            else:
                column.append(number)
        self._next = (self._next + 1) % self._rows

    def columns(self) -> dict[str, list[float | None]]:
        """All rows, oldest first, by column."""
        return {name: list(self._in_order(column)) for name, column in zip(COLUMNS, self._columns, strict=True)}

    def _in_order(self, column: "array[float]") -> Iterator[float | None]:
        begins = self._next if len(column) == self._rows else 0
        for value in (*column[begins:], *column[:begins]):
            yield None if math.isnan(value) else float(f"{value:.6g}") if column.typecode == "f" else value

    def _per_sample(self, energy_j: float | None, samples: int) -> float | None:
        used_j = None if energy_j is None or self._energy_j is None else energy_j - self._energy_j
        answered, self._energy_j, self._samples = samples - self._samples, energy_j, samples
        return None if used_j is None or used_j < 0 or answered <= 0 else 1e3 * used_j / answered
