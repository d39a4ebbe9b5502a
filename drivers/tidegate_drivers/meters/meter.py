"""The external meter that the agent's configuration names."""

from pathlib import Path

from tidegate_drivers.meters import file, hwmon, nut
from tidegate_drivers.meters.address import ChipMeter, FileMeter, UpsMeter, parse
from tidegate_drivers.sensor import Discovery

DRIVER = "meter"


def discover(named: str | None, sysroot: Path = Path("/")) -> Discovery:
    """`power` of the named meter, and what else it tells; nothing where none is named.

    Raises ValueError for a name that is none, and OSError where a password or authorities can't be read.
    """
    if named is None:
        return Discovery(DRIVER)
    address = parse(named)
    if isinstance(address, FileMeter):
        return Discovery(DRIVER, (file.sensor(address.path, address.key),))
    if isinstance(address, ChipMeter):
        return hwmon.discover(address, sysroot)
    if isinstance(address, UpsMeter):
        return nut.discover(address)
    from tidegate_drivers.meters import mqtt  # noqa: PLC0415 - paho is for those who have such a meter

    meter = mqtt.MqttMeter(address)
    meter.start()
    return Discovery(DRIVER, (meter.sensor(),), stop=meter.stop)
