"""A UPS at a real `upsd` that serves NUT's own dummy-ups, and servers that answer as none should."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tidegate_drivers.meters import nut, upsd
from tidegate_drivers.meters.address import UpsMeter, parse
from tidegate_drivers.meters.meter import discover
from tidegate_drivers.meters.nut import Ups
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Provenance, Value
from tidegate_drivers.sensor import Discovery, SensorError

BOUND_S = 20.0
# Debian's `upsd` in PATH is a script that refuses to start one of ours.
PLACES = ("/lib/nut", "/usr/libexec/nut", "/usr/sbin")
DUMMY, UPSD = (
    next(filter(Path.exists, (Path(place, name) for place in PLACES)), None) for name in ("dummy-ups", "upsd")
)
needs_nut = pytest.mark.skipif(DUMMY is None or UPSD is None, reason="NOT RUN: Debian's nut-server is missing")

DEVICE = """
device.type: ups
ups.status: OB DISCHRG
battery.charge: 42
battery.runtime: 1260
battery.temperature: 28.5
input.voltage: 0.0
ups.load: 31
ups.realpower: 187
"""


@dataclass
class Server:
    port: int
    device: Path

    def address(self, ups: str = "rack", rest: str = "") -> str:
        return f"nut://127.0.0.1:{self.port}/{ups}{rest}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """upsd and dummy-ups, configured, started and ended here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    device = tmp_path / "rack.dev"
    device.write_text(DEVICE)
    (tmp_path / "ups.conf").write_text(f"[rack]\n  driver = dummy-ups\n  port = {device}\n  mode = dummy-loop\n")
    (tmp_path / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {port}\nSTATEPATH {tmp_path}\nMAXAGE 15\n")
    (tmp_path / "upsd.users").write_text("[monitor]\n  password = secret\n")
    (tmp_path / "nut.conf").write_text("MODE=netserver\n")
    environment = os.environ | {
        "NUT_CONFPATH": str(tmp_path),
        "NUT_STATEPATH": str(tmp_path),
        "NUT_ALTPIDPATH": str(tmp_path),
    }
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    # -DD: stays in front, as a debugged one does in every release.
    started = [
        subprocess.Popen([str(DUMMY), "-a", "rack", "-u", "root", "-DD"], **silent),  # type: ignore[call-overload]
        subprocess.Popen([str(UPSD), "-u", "root", "-DD"], **silent),  # type: ignore[call-overload]
    ]
    try:
        # The last line of the device: all of them have come.
        until(lambda: "ups.realpower" in told(f"nut://127.0.0.1:{port}/rack"))
        yield Server(port, device)
    finally:
        for process in started:
            process.terminate()
            process.wait(BOUND_S)


def until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.1)


def told(named: str) -> dict[str, str]:
    address = parse(named)
    assert isinstance(address, UpsMeter)
    try:
        return dict(upsd.variables(address))
    except SensorError:
        return {}


def values(found: Discovery) -> dict[str, Value | None]:
    return {sensor.name: read_sensor(sensor).value for sensor in found.sensors}


@needs_nut
def test_ups_in_an_outage_and_after_it(server: Server) -> None:
    found = discover(server.address())
    assert values(found) == {
        "power_source": "battery",
        "battery": 42.0,
        "battery_state": "discharging",
        "ups_status/rack": "OB DISCHRG",
        "power/rack": 187.0,
        "ups_load/rack": 31.0,
        "battery_runtime/rack": 1260.0,
        "voltage/rack": 0.0,
        "temperature/rack": 28.5,
    }
    server.device.write_text(DEVICE.replace("OB DISCHRG", "OL CHRG").replace("charge: 42", "charge: 43"))
    until(lambda: values(found)["power_source"] == "external")
    assert values(found)["battery_state"] == "charging"
    assert values(found)["battery"] == 43.0


@needs_nut
def test_power_of_a_ups_that_feeds_this_machine_alone(server: Server) -> None:
    assert values(discover(server.address(rest="#ups.realpower")))["power"] == 187.0


@needs_nut
def test_login_and_a_name_that_is_not_there(server: Server, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    login = server.address().replace("nut://", "nut://monitor@") + f"?password_file={password}"
    assert told(login)["battery.charge"] == "42"
    (source, *_) = discover(server.address("rock")).sensors
    assert "knows no UPS rock; it has rack" in read_sensor(source).reason
    (source, *_) = discover(login.replace(str(password), f"{password}-none")).sensors
    assert f"{password}-none" in read_sensor(source).reason


@needs_nut
def test_server_that_goes_and_comes(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    found = discover(f"nut://127.0.0.1:{closed}/rack")
    assert [sensor.name for sensor in found.sensors][:2] == ["power_source", "battery"]
    assert all("can't be reached" in read_sensor(sensor).reason for sensor in found.sensors)
    ups = Ups(replace(_address(server.address()), port=closed))
    assert len(nut.discover(ups.address, ups).sensors) == 4
    ups.address = replace(ups.address, port=server.port)
    time.sleep(1.1)
    assert len(nut.discover(ups.address, ups).sensors) > 4


def _address(named: str) -> UpsMeter:
    address = parse(named)
    assert isinstance(address, UpsMeter)
    return address


@contextmanager
def answering(answer: bytes, every_s: float = 0.0) -> Iterator[UpsMeter]:
    """A server that answers anything with these bytes, at once or one each `every_s`, and then stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            listening.settimeout(BOUND_S)
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    if not every_s:
                        connection.sendall(answer)
                    for byte in answer if every_s else b"":
                        connection.sendall(bytes([byte]))
                        if ended.wait(every_s):
                            return
                    ended.wait(BOUND_S)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield UpsMeter("127.0.0.1", listening.getsockname()[1], "rack")
        finally:
            ended.set()
            thread.join(BOUND_S)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"ERR DATA-STALE\n", "has not answered its driver"),
        (b"ERR DRIVER-NOT-CONNECTED\n", "does not run"),
        (b"ERR ACCESS-DENIED\n", "no access"),
        (b"ERR SOMETHING-NEW\n", "SOMETHING-NEW"),
        (b"HTTP/1.1 400 Bad Request\n", "is it a NUT server"),
        (b"BEGIN LIST VAR rack\nEND LIST VAR rack\n", "tells no variable"),
        (b"BEGIN LIST VAR rack\n" + b'VAR rack a "b"\n' * 40_000, "without an end"),
        (b"\xff\xfe\n", "is it a NUT server"),
        (b"", "has not answered within"),
    ],
)
def test_answers_that_tell_nothing(answer: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsd, "DEADLINE_S", 0.5)
    with answering(answer) as address, pytest.raises(SensorError, match=reason):
        upsd.variables(address)


def test_server_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsd, "DEADLINE_S", 0.5)
    began_at = time.monotonic()
    with answering(b"BEGIN LIST VAR rack\n" * 100, every_s=0.05) as address:
        with pytest.raises(SensorError, match="has not answered within"):
            upsd.variables(address)
        assert time.monotonic() - began_at < BOUND_S / 4


def test_quotes_within_a_value() -> None:
    answer = b'BEGIN LIST VAR rack\nVAR rack ups.model "Back \\"UPS\\" \\\\ 1"\nEND LIST VAR rack\n'
    with answering(answer) as address:
        assert upsd.variables(address) == {"ups.model": 'Back "UPS" \\ 1'}


@pytest.mark.parametrize(
    ("said", "source", "state"),
    [
        ({"ups.status": "OL", "battery.charge": "100"}, "external", "full"),
        ({"ups.status": "OL", "battery.charge": "97"}, "external", None),
        ({"ups.status": "OL CAL DISCHRG"}, "external", "discharging"),
        ({"ups.status": "OB LB"}, "battery", "discharging"),
        ({"ups.status": "FSD OB LB"}, "battery", "discharging"),
        ({"ups.status": "BYPASS"}, "external", None),
        ({"ups.status": "OFF"}, None, None),
        ({"ups.status": "mains"}, None, None),
        ({}, None, None),
    ],
)
def test_status(said: dict[str, str], source: str | None, state: str | None) -> None:
    read = values(nut.discover(UpsMeter("h", 1, "rack"), Ups(UpsMeter("h", 1, "rack"), lambda _address: said)))
    assert (read["power_source"], read["battery_state"]) == (source, state)


@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        ({"battery.charge": "104.5"}, "battery", 100.0),
        ({"battery.charge": "400"}, "battery", None),
        ({"battery.charge": "NA"}, "battery", None),
        ({"ups.load": "25", "ups.realpower.nominal": "400"}, "power/rack", 100.0),
        ({"ups.realpower": "0"}, "power", None),
    ],
)
def test_numbers(said: dict[str, str], name: str, value: float | None) -> None:
    address = UpsMeter("h", 1, "rack", "ups.realpower")
    sensors = {each.name: each for each in nut.discover(address, Ups(address, lambda _address: said)).sensors}
    reading = read_sensor(sensors[name])
    assert reading.value == value
    assert value is not None or reading.reason
    assert sensors[name].provenance is (Provenance.ESTIMATED if "ups.load" in said else Provenance.MEASURED)
