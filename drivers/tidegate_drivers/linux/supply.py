"""One entry of /sys/class/power_supply: its properties, checked, whatever its driver's habits; and what it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.linux.sysfs import ImplausibleError, UnreadableError, parse_int, read_text
from tidegate_drivers.sensor import SensorError

UPS = "UPS"
STATUSES = ("Charging", "Discharging", "Full", "Not charging")

VOLTAGE_UV = (1_000_000, 100_000_000)

# Types and scopes are open-ended: new kernels add some, and vendors some of several words. One line of text is all
# that can be asked of them.
_MOST_LETTERS = 63

# The second net for peripherals, under `scope`, which not every driver of theirs sets.
_PERIPHERAL = re.compile(
    r"hidpp_battery_|hid-|wacom_(battery|ac)_|ps-controller-battery-|sony_controller_battery_"
    r"|nintendo_switch_controller_battery_|xpad|gip|steam-controller|logitech|magicmouse|elan_|razer|corsair"
)

# drivers/power/supply/test_power.c registers chargers and a battery to try the class on; their values are
# parameters of the module. Vendors ship dummies of their own under like names.
_DUMMY = re.compile(r"(.*[-_])?(test|dummy|fake|mock|virtual)([-_].*)?", re.IGNORECASE)

# USB-PD contracts of a port, whoever manages it (ucsi-, tcpm-, tps6598x-source-psy-...), and a power bank's output
# (drivers/power/supply/ip5xxx_power.c): not what feeds the machine.
_NOT_A_FEED = re.compile(r".*-source-psy(-.*)?|ip5xxx-boost.*")
_CHARGERS = ("Mains", "USB", "Wireless", "BrickID")

# Without one of these a supply is no battery that says how full it is; without `online` none that feeds a machine.
_OF_A_BATTERY = ("capacity", "capacity_level", "energy_now", "energy_full", "charge_now", "charge_full")


@dataclass(frozen=True, slots=True)
class Supply:
    """A power supply's directory. Every method reads the kernel's present answer."""

    path: Path

    @property
    def name(self) -> str:
        """The kernel's name for it, for example BAT0."""
        return self.path.name

    @property
    def driver(self) -> str:
        """What the names of one driver's supplies have in common, for example BAT of BAT0 and BAT1."""
        return re.split(r"[^A-Za-z]", self.name, maxsplit=1)[0]

    def word(self, key: str) -> str:
        """A property's text, from its file or else from `uevent`. Raises SensorError."""
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

    def has(self, *keys: str) -> bool:
        """Whether one of these properties is there, readable now or not."""
        for key in keys:
            try:
                self.word(key)
            except UnreadableError as error:
                if error.gone:
                    continue
            return True
        return False

    def kind(self) -> str:
        """`type`, for example Battery or Mains; empty when there is none. Raises SensorError."""
        return self._words("type")

    def describe(self) -> str:
        """What it is, for messages: its type, and what rules it out. Raises SensorError."""
        words = self.kind() or "no type"
        if self.is_dummy():
            return f"{words}, a dummy to test the kernel with"
        return f"{words} of a peripheral, by its scope or name" if self.is_peripheral() else words

    def is_peripheral(self) -> bool:
        """Whether it feeds a mouse, headset or the like, not the machine. Raises SensorError."""
        scope = self._words("scope")
        return scope == "Device" or (scope != "System" and _PERIPHERAL.match(self.name) is not None)

    def is_dummy(self) -> bool:
        """Whether there is no device behind it: it is of the kernel's test_power, or of a vendor's like it."""
        return _DUMMY.fullmatch(self.name) is not None

    def is_of_host(self) -> bool:
        """Whether it is the machine's own. Raises SensorError."""
        return not self.is_dummy() and not self.is_peripheral()

    def status(self) -> str:
        """One of STATUSES, or another word that tells nothing, such as Unknown."""
        status = self.word_or_empty("status")
        return status.capitalize() if status.capitalize() in STATUSES else status or "Unknown"

    def present(self) -> bool:
        """False only when the driver says that the bay is empty."""
        return self.word_or_empty("present") != "0"

    def online(self) -> bool:
        """Whether a charger delivers. Raises SensorError."""
        return self.number("online", 0, 2, "(0 offline, 1 fixed, 2 programmable)") > 0

    def voltage_v(self) -> float:
        """The voltage now in V. Raises SensorError."""
        return self.number("voltage_now", *VOLTAGE_UV, "uV") / 1e6

    def temperature_c(self) -> float:
        """Its own temperature in C. Raises SensorError."""
        return self.number("temp", -400, 1000, "tenths of a degree") / 10

    def word_or_empty(self, key: str) -> str:
        """A property's text, empty where it can't be read."""
        try:
            return self.word(key)
        except SensorError:
            return ""

    def _words(self, key: str) -> str:
        try:
            words = self.word(key)
        except UnreadableError as error:
            # Only "nothing there" is an answer. A battery whose type or scope fails must not silently drop out of
            # the sum, nor a mouse slip in.
            if not error.gone:
                raise
            return ""
        if not (0 < len(words) <= _MOST_LETTERS and words.isprintable() and "\ufffd" not in words):
            raise ImplausibleError(f"{self.name}/{key} says {words[:40]!r}, not a {key} of a power supply")
        return words

    def _uevent(self) -> dict[str, str]:
        try:
            lines = read_text(self.path / "uevent").splitlines()
        except UnreadableError:
            return {}
        pairs = (line.partition("=") for line in lines if line.startswith("POWER_SUPPLY_"))
        return {key.removeprefix("POWER_SUPPLY_").lower(): value.strip() for key, _, value in pairs}


@dataclass(frozen=True, slots=True)
class HostSupplies:
    """The supplies of the machine itself, and why others may be among them.

    A UPS is a battery here where there is no other: it carries a board or a desktop as a battery does a laptop,
    while to a laptop it is the mains. `may_be_battery` and `may_feed` hold why one that can't be told may be one.
    """

    batteries: Sequence[Supply]
    chargers: Sequence[Supply]
    may_be_battery: Sequence[SensorError] = ()
    may_feed: Sequence[SensorError] = ()


def host_supplies(supplies: Sequence[Supply]) -> HostSupplies:
    """Those of the machine, not those of mice, pens and headsets, nor dummies, nor USB-PD contracts."""
    by_kind: dict[str, list[Supply]] = {"Battery": [], UPS: []}
    chargers: list[Supply] = []
    may_be_battery: list[SensorError] = []
    may_feed: list[SensorError] = []
    for supply in supplies:
        try:
            kind, of_host = supply.kind(), supply.is_of_host()
        except SensorError as error:
            # What it could be can be told by what it has: the others must not pay for one that fails.
            if supply.has(*_OF_A_BATTERY):
                may_be_battery.append(error)
            if supply.has("online"):
                may_feed.append(error)
            continue
        if not of_host:
            continue
        if kind in by_kind:
            by_kind[kind].append(supply)
        elif kind.startswith(_CHARGERS) and not _NOT_A_FEED.fullmatch(supply.name.replace("_", "-")):
            chargers.append(supply)
    return HostSupplies(by_kind["Battery"] or by_kind[UPS], chargers, may_be_battery, may_feed)
