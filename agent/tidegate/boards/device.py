"""What a board is like: a battery, a heat sink and a chip that throttles. Every parameter is an estimate.

Heat: one thermal resistance and one time constant. Battery: a reservoir that gives less in the cold and charges
with a loss. Chip: power is idle plus what answers cost; past the throttle temperature it is slower and leaner.
"""

import math
from dataclasses import dataclass

from tidegate.models.ladder import OperatingPoint
from tidegate.policy.learned import Prior


@dataclass(frozen=True, slots=True)
class Device:
    """Parameters of one device; `battery_wh` None for one that has no battery.

    `active_w` is drawn by one busy core above `idle_w`, `other_w` by other programs when they take the whole CPU.
    `cold_loss` is the share of what the battery gives that is lost within it per degree below 10 C. Throttled,
    the chip runs at `throttle_speed` of its speed and an answer costs `throttle_energy` of its energy.
    The battery's voltage falls from `full_v` to `empty_v` with its charge, and by `supply_ohm` under current.
    Below `brown_out_v` the board loses its power and is back after `reboot_s`; at 0 it never does.
    Suspended it draws `asleep_w`, and answers again `resume_s` after the time to wake; None for one that can't be.
    """

    name: str
    idle_w: float
    active_w: float
    battery_wh: float | None = None
    charge_w: float = 1e9
    charge_efficiency: float = 0.95
    cold_loss: float = 0.012
    other_w: float = 3.0
    heat_k_per_w: float = 5.0
    heat_span_s: float = 300.0
    throttle_c: float = 85.0
    throttle_release_c: float = 80.0
    throttle_speed: float = 0.6
    throttle_energy: float = 0.85
    ambient_c: float = 22.0
    supply_w: float = 45.0
    switch_s: float = 0.1
    supply_ohm: float = 0.0
    full_v: float = 8.4
    empty_v: float = 6.0
    brown_out_v: float = 0.0
    reboot_s: float = 60.0
    asleep_w: float | None = None
    resume_s: float = 10.0

    @property
    def prior(self) -> Prior:
        """What an agent on this device knows before its first reading."""
        return Prior(
            idle_w=self.idle_w,
            active_w=self.active_w,
            battery_j=None if self.battery_wh is None else self.battery_wh * 3600.0,
            ambient_c=self.ambient_c,
            heat_k_per_w=self.heat_k_per_w,
            heat_span_s=self.heat_span_s,
        )

    def answer_j(self, point: OperatingPoint) -> float:
        """The energy of one answer, J: measured at calibration where it was, else the busy cores' share."""
        figures = point.figures
        if figures.energy_mj is not None:
            return figures.energy_mj / 1e3
        return self.active_w * point.threads * figures.busy_ms / 1e3

    def peak_w(self, point: OperatingPoint) -> float:
        """What an answer draws above idle while it is worked on, W."""
        busy_s = point.figures.busy_ms / 1e3
        return self.answer_j(point) / busy_s if busy_s > 0 else 0.0

    def volts(self, charge: float, draw_w: float) -> float:
        """The battery's voltage at a charge of 0..1 under a load; 0 where it can't give that much.

        V = (E + sqrt(E^2 - 4 R P)) / 2, the upper solution of P = V (E - V) / R.
        """
        open_v = self.empty_v + (self.full_v - self.empty_v) * charge
        under_root = open_v * open_v - 4.0 * self.supply_ohm * draw_w
        return 0.0 if under_root < 0 else (open_v + math.sqrt(under_root)) / 2.0

    def cold_share(self, celsius: float) -> float:
        """How much of the charge that is drawn arrives at this ambient temperature, 0..1."""
        return max(0.3, 1.0 - self.cold_loss * max(0.0, 10.0 - celsius))
