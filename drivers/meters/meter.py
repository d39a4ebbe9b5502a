"""The external meter that the agent's configuration names."""

from drivers.meters import file, mqtt
from drivers.meters.address import FileMeter, parse
from drivers.sensor import Discovery

DRIVER = "meter"


def discover(named: str | None) -> Discovery:
    """`power` of the named meter; nothing where none is named.

    Raises ValueError for a name that is none, and OSError where a password or authorities can't be read.
    """
    if named is None:
        return Discovery(DRIVER)
    address = parse(named)
    if isinstance(address, FileMeter):
        return Discovery(DRIVER, (file.sensor(address.path, address.key),))
    meter = mqtt.MqttMeter(address)
    meter.start()
    return Discovery(DRIVER, (meter.sensor(),), stop=meter.stop)
