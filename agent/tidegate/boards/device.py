"""What a board is like: a battery, a heat sink and a chip that throttles. Every parameter is an estimate.

Heat: one thermal resistance and one time constant. Battery: a reservoir that gives less in the cold and charges
with a loss. Chip: power is idle plus what answers cost; past the throttle temperature it is slower and leaner.
"""

from dataclasses import dataclass

from tidegate.models.ladder import OperatingPoint
from tidegate.policy.learned import Prior


@dataclass(frozen=True, slots=True)
class Device:
    """Parameters of one device; `battery_wh` None for one that has no battery.

    `active_w` is drawn by one busy core above `idle_w`, `other_w` by other programs when they take the whole CPU.
    `cold_loss` is the share of what the battery gives that is lost within it per degree below 10 C. Throttled,
    the chip runs at `throttle_speed` of its speed and an answer costs `throttle_energy` of its energy.
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

    def cold_share(self, celsius: float) -> float:
        """How much of the charge that is drawn arrives at this ambient temperature, 0..1."""
        return max(0.3, 1.0 - self.cold_loss * max(0.0, 10.0 - celsius))
