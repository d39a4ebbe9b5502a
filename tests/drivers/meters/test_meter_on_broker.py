"""A meter behind a real broker: its password, its certificate, its restart."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tidegate.fleet.broker import LocalBroker
from tidegate_drivers.meters.meter import discover
from tidegate_drivers.read_sensor import read_sensor

BOUND_S = 30.0


@pytest.mark.broker
@pytest.mark.skipif(shutil.which("openssl") is None, reason="NOT RUN: openssl is missing")
def test_meter_behind_a_password_and_tls(mosquitto: None, tmp_path: Path) -> None:
    certificate, key, users, password = (tmp_path / name for name in ("ca.pem", "key.pem", "users", "password"))
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key))
    command = ["openssl", "req", "-x509", "-days", "2", *new_key, "-out", str(certificate), *subject]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(users), "plug", "secret"], check=True, capture_output=True)
    users.chmod(0o600)
    settings = ("allow_anonymous false", f"password_file {users}", f"certfile {certificate}", f"keyfile {key}")
    with LocalBroker(settings=settings) as broker:
        where = f"127.0.0.1:{broker.port}/plug?password_file={password}"
        password.write_text("secret\n")
        found = discover(f"mqtts://plug@{where}&ca={certificate}")
        distrusting = discover(f"mqtts://plug@{where}")
        password.write_text("wrong")
        refused = discover(f"mqtts://plug@{where}&ca={certificate}")
        plug = Client(CallbackAPIVersion.VERSION2)
        plug.username_pw_set("plug", "secret")
        plug.tls_set(ca_certs=str(certificate))
        plug.connect_async("127.0.0.1", broker.port)
        plug.loop_start()
        try:
            ends_at = time.monotonic() + BOUND_S
            wanted = ("7.5", "can't be connected to", "refused: Not authorized")
            while time.monotonic() < ends_at:
                plug.publish("plug", "7.5")
                time.sleep(0.05)
                readings = [read_sensor(each.sensors[0]) for each in (found, distrusting, refused)]
                said = [f"{reading.value} {reading.reason}" for reading in readings]
                if all(word in each for word, each in zip(wanted, said, strict=True)):
                    break
            else:
                pytest.fail(f"{readings}")
        finally:
            plug.loop_stop()
            for each in (found, distrusting, refused):
                assert each.stop is not None
                each.stop()


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
            while read_sensor(sensor).value != watts_now and time.monotonic() < ends_at:
                plug.publish("plug/status", f'{{"apower": {watts_now}}}')
                time.sleep(0.05)
            assert read_sensor(sensor).value == watts_now
            broker.restart()
    finally:
        plug.loop_stop()
        found.stop()
