"""Which sensors of hwmon measure the processor, by what their chips and channels are called."""

import re
from collections.abc import Sequence
from pathlib import Path

from tidegate_drivers.linux.foreign import is_of_device, is_of_supply
from tidegate_drivers.linux.hwmon import Channel, Chip, channels, chips
from tidegate_drivers.linux.sysfs import UnreadableError
from tidegate_drivers.linux.zone import Zone
from tidegate_drivers.sensor import SensorError

# Chips within a processor or made for one. A device that is named by its address is one of the SoC's own (sfctemp
# is 120e0000.temperature-sensor), pvt the monitor of an SoC's process, voltage and temperature. A chip that is
# called a thermal zone mirrors one, which a capture or a container may lack.
_PROCESSOR = re.compile(
    r"coretemp|k8temp|k10temp|zenpower|via_cputemp|ltq_cputemp|sfctemp|(bt1_)?pvt"
    r"|cpu.*hwmon|(cpu|soc).*temp|soc_dts[0-9]+|.*_thermal(_zone)?$|[0-9a-f]{6,}\.(temp|therm|tsens).*"
)
# Of these one channel is the SoC's, and only the driver's document says which (Documentation/hwmon).
_SOC_CHANNEL = {"apm_xgene": "SoC Temperature", "smpro_hwmon": "temp1 SoC", "sg2042_mcu": "temp1"}
# The words with which boards, controllers and firmware label it, and those for what only feeds or surrounds it.
_WORD = re.compile(r"[a-z]+")
_MEANS_PROCESSOR = re.compile(
    "cpus?|cputin|soc|apu|processor|package|physical|cores?|cluster|tctl|tdie|tccd|peci|tsi|smbusmaster"
)
_MEANS_BESIDE = re.compile(
    "vrm|vrd|vr|vreg|vdd|vddcr|mos|mosfet|dimm|dram|mem|memory|ddr|pch|chipset|socket|opt|fan|board|ambient|inlet"
    "|outlet|exhaust|intake|air|phy|index|limit|heatsink|coolant|water|charger|pmic|nvme|ssd|disk|bmc"
)
# A Super I/O chip's own diode input hangs in the air where the processor talks to the chip digitally.
_BY_BUS = {"peci", "tsi", "smbusmaster"}


def processor_zones(sysroot: Path, zone_types: Sequence[str], alive: set[Path]) -> tuple[list[Zone], list[str]]:
    """The processors' own sensors that are no thermal zones as well (AMD's k10temp beside an idle acpitz).

    Also says why some that may be such sensors can't be told.
    """
    mirrored = {kind.replace("-", "_") for kind in zone_types}
    found, hidden = _chips(sysroot)
    zones: list[Zone] = []
    for chip in found:
        own = _SOC_CHANNEL.get(chip.name)
        if chip.name.replace("-", "_") in mirrored or not (own or _PROCESSOR.match(chip.name)):
            continue
        if is_of_device(chip.name) or is_of_supply(chip.name):
            continue
        measured, untold = _temperatures(chip)
        hidden += untold
        if untold:  # one of them may be the Tdie that rules out a Tctl
            continue
        labels = {channel.label for channel in measured}
        zones += [
            _zone(channel, alive)
            for channel in measured
            # Tctl is Tdie plus an offset of up to 27 degrees that only serves to drive fans.
            if not (channel.label == "Tctl" and "Tdie" in labels) and (own is None or own in _names(channel))
        ]
    return zones, hidden


def labelled_zones(sysroot: Path, alive: set[Path]) -> tuple[list[Zone], list[str]]:
    """What boards, controllers and firmware label as the processor, for where nothing else measures it.

    Without one it says so and names the chips.
    """
    found, hidden = _chips(sysroot)
    labelled: list[Channel] = []
    silent: list[str] = []
    for chip in found:
        measured, untold = _temperatures(chip)
        hidden += untold
        beside = is_of_device(chip.name) or is_of_supply(chip.name)
        its = [channel for channel in measured if not beside and _means_processor(channel.label)]
        by_bus = [channel for channel in its if _BY_BUS & _words(channel.label)]
        labelled += by_bus or its
        if measured and not its:
            silent.append(chip.key)
    if not labelled and silent:
        hidden.append(
            f"of the chips in hwmon ({', '.join(silent)}) none says by its name or a label that it measures the"
            " processor"
        )
    return [_zone(channel, alive) for channel in labelled], hidden


def _chips(sysroot: Path) -> tuple[list[Chip], list[str]]:
    try:
        found, faults = chips(sysroot)
    except UnreadableError as error:
        return [], [] if error.gone else [str(error)]
    return found, [str(fault) for fault in faults]


def _temperatures(chip: Chip) -> tuple[list[Channel], list[str]]:
    try:
        measured, unnamed = channels(chip)
    except SensorError as error:
        return [], [str(error)]
    return [channel for channel in measured if channel.prefix.startswith("temp")], [
        str(fault) for fault in unnamed
    ]


def _zone(channel: Channel, alive: set[Path]) -> Zone:
    kind = f"{channel.chip.key}/{channel.label}"
    return Zone(channel.chip.path / f"{channel.prefix}_input", kind, alive, steady=True, channel=channel)


def _names(channel: Channel) -> tuple[str, str]:
    return channel.label, channel.prefix


def _means_processor(label: str) -> bool:
    words = _words(label)
    return any(map(_MEANS_PROCESSOR.fullmatch, words)) and not any(map(_MEANS_BESIDE.fullmatch, words))


def _words(label: str) -> set[str]:
    return set(_WORD.findall(label.lower()))
