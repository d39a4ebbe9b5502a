"""The meter that TIDEGATE_METER names: `file:PATH[#KEY.KEY]` or `mqtt://HOST[:PORT]/TOPIC[#KEY.KEY]`."""

from collections.abc import Mapping
from os import environ
from pathlib import Path
from urllib.parse import urlsplit

from drivers.meters import file, mqtt
from drivers.reading import POWER
from drivers.sensor import Discovery, Refusal

VARIABLE = "TIDEGATE_METER"
_DRIVER = "meter"


def discover(environment: Mapping[str, str] = environ) -> Discovery:
    """`power` of the named meter; nothing where none is named."""
    named = environment.get(VARIABLE, "")
    if not named:
        return Discovery(_DRIVER)
    parts = urlsplit(named)
    if parts.scheme == "file" and parts.path:
        return Discovery(_DRIVER, (file.sensor(Path(parts.path), parts.fragment),))
    if parts.scheme == "mqtt" and parts.hostname and parts.path.strip("/"):
        meter = mqtt.MqttMeter(parts.hostname, parts.port or 1883, parts.path.strip("/"), parts.fragment)
        meter.start()
        return Discovery(_DRIVER, (meter.sensor(),), stop=meter.stop)
    reason = f"{VARIABLE} is {named!r}; allowed are file:PATH#KEY and mqtt://HOST:PORT/TOPIC#KEY"
    return Discovery(_DRIVER, refusals=(Refusal(POWER, _DRIVER, reason),))
