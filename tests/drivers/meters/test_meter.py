"""External meters: how they are named, a file, and messages; test_meter_on_broker.py has a real broker."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tidegate_drivers.meters import watts
from tidegate_drivers.meters.address import Address, ChipMeter, FileMeter, TopicMeter, UpsMeter, parse
from tidegate_drivers.meters.meter import discover
from tidegate_drivers.meters.mqtt import MqttMeter
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.sensor import SensorError


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
    assert read_sensor(sensor).value == 6.25
    os.utime(path, (1e9, 1e9))
    assert "last written" in read_sensor(sensor).reason


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("file:///run/meter", FileMeter(Path("/run/meter"), "")),
        ("file:/run/m.json#a.b", FileMeter(Path("/run/m.json"), "a.b")),
        ("mqtt://broker/plug/status#apower", TopicMeter("broker", 1883, "plug/status", "apower")),
        ("mqtt://[::1]:1884/plug/", TopicMeter("::1", 1884, "plug", "")),
        ("mqtt://me%40home@b/p", TopicMeter("b", 1883, "p", "", "me@home")),
        (
            "mqtts://me@b/p?password_file=/etc/p&ca=/etc/ca.pem#a",
            TopicMeter("b", 8883, "p", "a", "me", Path("/etc/p"), tls=True, ca=Path("/etc/ca.pem")),
        ),
        ("hwmon://ina219/power1", ChipMeter("ina219", "power1")),
        ("hwmon://INA3221@1-0040/Solar%20Panel", ChipMeter("INA3221@1-0040", "Solar Panel")),
        ("nut://localhost/rack", UpsMeter("localhost", 3493, "rack")),
        (
            "nut://me@[::1]:3494/rack?password_file=/etc/p#ups.realpower",
            UpsMeter("::1", 3494, "rack", "ups.realpower", "me", Path("/etc/p")),
        ),
    ],
)
def test_names(named: str, address: Address) -> None:
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
        "mqtt://me:secret@b/p",
        "mqtt://b/p?password_file=/etc/p",
        "mqtt://me@b/p?password_file=p",
        "mqtt://b/p?ca=/etc/ca.pem",
        "mqtt://b/p?qos=1",
        "mqtt://b/+/power",
        "hwmon://ina219",
        "hwmon:///power1",
        "hwmon://ina219/power1#x",
        "nut://host",
        "nut://host/two words",
        "nut://host/rack#Realpower",
        "nut://host/rack?ca=/etc/ca.pem",
        "nut://me:secret@host/rack",
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
    meter = MqttMeter(TopicMeter("broker", 1883, "plug/power", ""), lambda: now[0])
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


def test_password_or_authorities_that_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for options in (f"password_file={tmp_path}/none", f"ca={tmp_path}/none", f"ca={tmp_path}/ca.pem"):
        with pytest.raises(OSError, match=r".+"):
            discover(f"mqtts://me@127.0.0.1:1/plug?{options}")
