"""External meters: from a file, and from a real broker's messages."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.fleet.broker import LocalBroker
from drivers.meters import watts
from drivers.meters.address import FileMeter, TopicMeter, parse
from drivers.meters.meter import discover
from drivers.meters.mqtt import MqttMeter
from drivers.sensor import SensorError
from drivers.take import take

BOUND_S = 30.0


@pytest.mark.parametrize(
    ("text", "path", "power_w"),
    [("12.5", "", 12.5), ('{"apower": 7}', "apower", 7.0), ('{"ENERGY": {"Power": 3.5}}', "ENERGY.Power", 3.5)],
)
def test_watts(text: str, path: str, power_w: float) -> None:
    assert watts.parse(text, path) == power_w


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("0", ""),
        ("-3", ""),
        ("1e9", ""),
        ("NaN", ""),
        ("true", ""),
        ('"7"', ""),
        ("{}", "a"),
        ("[1]", "0"),
    ],
)
def test_what_is_no_power_is_refused(text: str, path: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        watts.parse(text, path)


def test_file_is_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "meter.json"
    path.write_text('{"power_w": 6.25}')
    (sensor,) = discover(f"file:{path}#power_w").sensors
    assert take(sensor).value == 6.25
    os.utime(path, (1e9, 1e9))
    assert "last written" in take(sensor).reason


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("file:///run/meter", FileMeter(Path("/run/meter"), "")),
        ("file:/run/m.json#a.b", FileMeter(Path("/run/m.json"), "a.b")),
        ("mqtt://broker/plug/status#apower", TopicMeter("broker", 1883, "plug/status", "apower")),
        ("mqtt://[::1]:1884/plug/", TopicMeter("::1", 1884, "plug", "")),
    ],
)
def test_names(named: str, address: FileMeter | TopicMeter) -> None:
    assert parse(named) == address


@pytest.mark.parametrize(
    "named",
    [
        "",
        "12",
        "file:",
        "file:meter",
        "file://host/x",
        "mqtt://broker",
        "mqtt://b:x/y",
        "mqtt://[/y",
        "http://x/y",
    ],
)
def test_name_that_is_none(named: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(named)


def test_none_is_named() -> None:
    assert discover(None).sensors == ()


def message(payload: bytes, retain: bool = False) -> object:
    return SimpleNamespace(payload=payload, retain=retain)


def test_messages_age_and_retained_ones_do_not_count() -> None:
    now = [0.0]
    meter = MqttMeter("broker", 1883, "plug/power", "", lambda: now[0])
    meter.receive(message(b"5", retain=True))  # type: ignore[arg-type]  # what of a message is looked at
    with pytest.raises(SensorError, match="nothing has come"):
        meter.read_w()
    meter.receive(message(b"5"))  # type: ignore[arg-type]
    assert meter.read_w() == 5.0
    now[0] = 120.0
    with pytest.raises(SensorError, match="for 120 s"):
        meter.read_w()
    meter.receive(message(b"off"))  # type: ignore[arg-type]
    with pytest.raises(SensorError, match="plug/power"):
        meter.read_w()


@pytest.mark.broker
def test_meter_on_a_real_broker_survives_its_restart(broker: LocalBroker) -> None:
    found = discover(f"mqtt://127.0.0.1:{broker.port}/plug/status#apower")
    (sensor,) = found.sensors
    assert found.stop is not None
    plug = Client(CallbackAPIVersion.VERSION2)
    plug.connect_async("127.0.0.1", broker.port)
    plug.loop_start()
    try:
        for watts_now in (7.5, 8.5):
            ends_at = time.monotonic() + BOUND_S
            while take(sensor).value != watts_now and time.monotonic() < ends_at:
                plug.publish("plug/status", f'{{"apower": {watts_now}}}')
                time.sleep(0.05)
            assert take(sensor).value == watts_now
            broker.restart()
    finally:
        plug.loop_stop()
        found.stop()
