"""One entry of /sys/class/power_supply: its properties, checked, whatever its driver's habits."""

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.linux.sysfs import ImplausibleError, UnreadableError, parse_int, read_text
from drivers.sensor import SensorError

UPS = "UPS"

_VOLTAGE_UV = (1_000_000, 100_000_000)
_MOST_UA = 200_000_000
_MOST_UW = 2_000_000_000
# Some packs report mA where uA belongs (898 for 0.9 A), some mW for uW. Up to 20 A in mA, or 100 W in mW,
# stays below these floors. A frugal board stays below them too: its small battery then tells them apart, since
# even at 3 C a value a thousand times too small would need two weeks to empty it.
_SURELY_UA = 20_000
_SURELY_UW = 100_000
_LONGEST_TO_EMPTY_H = 333
_ENERGY_FULL_UWH = (100_000, 10_000_000_000)
_CHARGE_FULL_UAH = (100_000, 1_000_000_000)
# A worn battery's "full" is an estimate that the charge may pass a little.
_OVERFULL = 1.1

# Types are open-ended (new kernels add some), so their shape is what can be checked; scopes are three.
_TYPE = re.compile(r"[A-Z][A-Za-z0-9_]{2,31}")
_SCOPE = re.compile("System|Device|Unknown")

# The second net for peripherals, under `scope`, which not every driver of theirs sets.
_PERIPHERAL = re.compile(
    r"hidpp_battery_|hid-|wacom_(battery|ac)_|ps-controller-battery-|sony_controller_battery_"
    r"|nintendo_switch_controller_battery_|xpad|gip|steam-controller|logitech|magicmouse|elan_|razer|corsair"
)

# USB-PD contracts of a port, whoever manages it (ucsi-, tcpm-, tps6598x-source-psy-...), and a power bank's output
# (drivers/power/supply/ip5xxx_power.c): not what feeds the machine.
_NOT_A_FEED = re.compile(r".*-source-psy(-.*)?|ip5xxx-boost.*")


@dataclass(frozen=True, slots=True)
class Supply:
    """A power supply's directory. Every method reads the kernel's present answer."""

    path: Path

    @property
    def name(self) -> str:
        """The kernel's name for it, for example BAT0."""
        return self.path.name

    def word(self, key: str) -> str:
        """A property's text. Raises SensorError."""
        try:
            return read_text(self.path / key)
        except UnreadableError:
            # Drivers exist that list a property in `uevent` only.
            listed = self._uevent().get(key)
            if listed is None:
                raise
            return listed

    def number(self, key: str, low: int, high: int, unit: str) -> int:
        """A property's number, low..high. Raises SensorError."""
        return parse_int(self.word(key), low, high, unit, f"{self.name}/{key}")

    def kind(self) -> str:
        """`type`, for example Battery or Mains; empty when there is none. Raises SensorError."""
        return self._checked("type", _TYPE)

    def describe(self) -> str:
        """What it is, for messages: its type, and its scope when that is what rules it out."""
        scope = " of a peripheral, by its scope or name" if self.is_peripheral() else ""
        return (self.kind() or "no type") + scope

    def is_peripheral(self) -> bool:
        """Whether it feeds a mouse, headset or the like, not the machine. Raises SensorError."""
        scope = self._checked("scope", _SCOPE)
        return scope == "Device" or (scope != "System" and _PERIPHERAL.match(self.name) is not None)

    def status(self) -> str:
        """Charging, Discharging, Full, Not charging or Unknown."""
        return self._word_or_empty("status") or "Unknown"

    def present(self) -> bool:
        """False only when the driver says that the bay is empty."""
        return self._word_or_empty("present") != "0"

    def online(self) -> bool:
        """Whether a charger delivers. Raises SensorError."""
        return self.number("online", 0, 2, "(0 offline, 1 fixed, 2 programmable)") > 0

    def charge_percent(self) -> float:
        """How full a battery is, in %. Raises SensorError, also for an empty bay, whatever it still says."""
        if not self.present():
            raise SensorError(f"{self.name} is an empty bay")
        try:
            return float(self.number("capacity", 0, 100, "%"))
        except SensorError as no_capacity:
            for now, full, limits, unit in (
                ("energy_now", "energy_full", _ENERGY_FULL_UWH, "uWh"),
                ("charge_now", "charge_full", _CHARGE_FULL_UAH, "uAh"),
            ):
                try:
                    stored, capacity = self._stored(now, full, limits, unit)
                except SensorError:
                    continue
                return min(100.0, 100.0 * stored / capacity)
            raise no_capacity from None

    def energy_wh(self) -> tuple[float, float]:
        """The energy held now and when full, in Wh; from charge and voltage if need be. Raises SensorError."""
        try:
            now, full = self._stored("energy_now", "energy_full", _ENERGY_FULL_UWH, "uWh")
        except SensorError:
            now, full = self._stored("charge_now", "charge_full", _CHARGE_FULL_UAH, "uAh")
            volts = self._nominal_voltage_v()
            now, full = now * volts, full * volts
        return now / 1e6, full / 1e6

    def outflow_w(self) -> float:
        """The power leaving a battery, in W; negative while it charges. Raises SensorError.

        The sign of current_now and power_now differs by driver and kernel version, so only `status` gives the
        direction.
        """
        if not self.present():
            raise SensorError(f"{self.name} is an empty bay")
        status, watts = self.status(), self._magnitude_w()
        if watts == 0.0 and status == "Charging":
            raise SensorError(f"{self.name} reports 0 W while charging: it measures no current then")
        if status == "Discharging":
            return watts
        if status == "Charging":
            return -watts
        if watts == 0.0:
            return 0.0
        raise SensorError(
            f"{self.name} reports {watts:.2f} W and status {status}, which leaves the direction open"
        )

    def tells_temperature(self) -> bool:
        """Whether there is a `temp`, readable now or not."""
        try:
            self.word("temp")
        except UnreadableError as error:
            return not error.gone
        return True

    def temperature_c(self) -> float:
        """The battery's own temperature in C. Raises SensorError."""
        return self.number("temp", -400, 1000, "tenths of a degree") / 10

    def _magnitude_w(self) -> float:
        answers: list[float] = []
        faults: list[SensorError] = []
        for way in (self._power_now_w, self._current_times_voltage_w):
            try:
                answers.append(way())
            except SensorError as error:
                if not (isinstance(error, UnreadableError) and error.gone):
                    faults.append(error)
                continue
            # Some drivers have a power_now that is always 0: the current may know better.
            if answers[-1] > 0:
                return answers[-1]
        if faults:
            raise faults[0]
        if not answers:
            raise SensorError(f"{self.name} gives neither power_now nor current_now with voltage_now")
        return 0.0

    def _power_now_w(self) -> float:
        microwatts = self._unsigned("power_now", _MOST_UW, "uW")
        if 0 < microwatts < _SURELY_UW:
            self._refuse_thousandfold("power_now", microwatts, ("energy_full", *_ENERGY_FULL_UWH, "uWh"), "uW")
        return microwatts / 1e6

    def _current_times_voltage_w(self) -> float:
        microamperes = self._unsigned("current_now", _MOST_UA, "uA")
        if 0 < microamperes < _SURELY_UA:
            self._refuse_thousandfold("current_now", microamperes, ("charge_full", *_CHARGE_FULL_UAH, "uAh"), "uA")
        return microamperes * self.number("voltage_now", *_VOLTAGE_UV, "uV") / 1e12

    def _unsigned(self, key: str, most: int, unit: str) -> int:
        return abs(self.number(key, -most, most, unit))

    def _refuse_thousandfold(self, key: str, value: int, full: tuple[str, int, int, str], unit: str) -> None:
        try:
            hours = self.number(*full) / value
        except SensorError:
            hours = float("inf")
        if hours > _LONGEST_TO_EMPTY_H:
            raise ImplausibleError(
                f"{self.name}/{key} says {value} {unit}, too little to be in {unit}: thousandfold?"
            )

    def _stored(self, now: str, full: str, limits: tuple[int, int], unit: str) -> tuple[float, float]:
        capacity = self.number(full, *limits, unit)
        return float(self.number(now, 0, int(capacity * _OVERFULL), unit)), float(capacity)

    def _nominal_voltage_v(self) -> float:
        try:
            return self.number("voltage_min_design", *_VOLTAGE_UV, "uV") / 1e6
        except SensorError:
            return self.number("voltage_now", *_VOLTAGE_UV, "uV") / 1e6

    def _checked(self, key: str, allowed: re.Pattern[str]) -> str:
        try:
            word = self.word(key)
        except UnreadableError as error:
            # Only "not there" is an answer. A battery whose type or scope fails must not silently drop out of
            # the sum, nor a mouse slip in.
            if error.code != errno.ENOENT:
                raise
            return ""
        if not allowed.fullmatch(word):
            raise ImplausibleError(f"{self.name}/{key} says {word[:40]!r}, which is no {key} of a power supply")
        return word

    def _word_or_empty(self, key: str) -> str:
        try:
            return self.word(key)
        except SensorError:
            return ""

    def _uevent(self) -> dict[str, str]:
        try:
            lines = read_text(self.path / "uevent").splitlines()
        except UnreadableError:
            return {}
        pairs = (line.partition("=") for line in lines if line.startswith("POWER_SUPPLY_"))
        return {key.removeprefix("POWER_SUPPLY_").lower(): value.strip() for key, _, value in pairs}


def host_batteries(supplies: Sequence[Supply]) -> list[Supply]:
    """The batteries that feed the machine, not those of mice, pens and headsets. Raises SensorError.

    A UPS counts where there is no other: it carries a board or a desktop as a battery does a laptop, while to a
    laptop it is the mains.
    """
    own = [supply for supply in supplies if not supply.is_peripheral()]
    return [supply for supply in own if supply.kind() == "Battery"] or [
        supply for supply in own if supply.kind() == UPS
    ]


def host_chargers(supplies: Sequence[Supply]) -> list[Supply]:
    """What feeds the machine from outside (mains, USB, wireless; not USB-PD contracts). Raises SensorError."""
    return [
        supply
        for supply in supplies
        if supply.kind().startswith(("Mains", "USB", "Wireless", "BrickID"))
        and not supply.is_peripheral()
        and not _NOT_A_FEED.fullmatch(supply.name.replace("_", "-"))
    ]
