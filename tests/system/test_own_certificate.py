"""A camera's own certificate: kept frames, few labels, a signature, and an agent that goes by it and says so."""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from agent_process import PLAIN_POLICY, AgentProcess
from here import Ended, tidegate_here
from paho.mqtt import subscribe

from tidegate.fleet.broker import LocalBroker
from tidegate.footage import kept
from tidegate.footage.frame_file import Frame
from tidegate.footage.store import FootageStore
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.statement import PAYLOAD_TYPE, Statement, read_statement
from tidegate.trust.dsse import Envelope, parse_envelope
from tidegate.trust.key_file import read_private, write_pair
from tidegate.trust.keys import PrivateKey

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

CLIPS = 600
NOISE = 0.16
"""Of this camera: the cheapest points see other digits in it."""
BEGAN_S = int(time.time()) - 3600
CHEAPEST = PLAIN_POLICY + "rules: [{name: always, when: {power_source: external}, use: cheapest, urgent: true}]\n"
ELSEWHERE = "onnx on cpu, onnxruntime 1.0, debian 1"
PLUGGED = "time_s,power_source\n0,external\n60,external\n"


def fill_footage(state_dir: Path) -> None:
    """What this camera has seen: a clip's number is in its time."""
    bundle = open_bundle(AgentProcess.bundle)
    state_dir.mkdir(parents=True, exist_ok=True)
    store = FootageStore(state_dir / kept.DIRECTORY, 1 << 30, 1e12)
    chance = np.random.default_rng(5)
    clean = np.concatenate([bundle.samples().inputs()] * 3)
    for number, values in enumerate((clean + chance.normal(0, NOISE, clean.shape)).astype(np.float32)):
        store.put(Frame(values, "door"), BEGAN_S + number, float(chance.random()))


def certify(state_dir: Path, *more: object) -> Ended:
    words = ("bundle", "certify", AgentProcess.bundle, "--engine", "onnx", "--footage", state_dir)
    return tidegate_here(*words, *more)


def label(sheet: Path) -> None:
    """As somebody does who knows the digits."""
    known = open_bundle(AgentProcess.bundle).samples().labels
    assert known is not None
    lines = ["input,file,full,label"]
    for row in csv.DictReader(sheet.open()):
        number = int(Path(row["file"]).name.split("-")[0]) - BEGAN_S
        lines.append(f"{row['input']},{row['file']},,{known[number % len(known)]}")
    sheet.write_text("\n".join(lines))


def statement_in(path: Path) -> Statement:
    return read_statement(parse_envelope(path.read_bytes(), 1 << 20).payload, "here")


def set_key(agent: AgentProcess, **changed: object) -> Ended:
    """Change agent.yaml and reload."""
    agent.config.write_text(yaml.safe_dump({**yaml.safe_load(agent.config.read_text()), **changed}))
    return tidegate_here("reload", "--config", agent.config)


def reported(
    agent: AgentProcess, broker: LocalBroker, holds: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The retained report, once it is so."""
    deadline = time.monotonic() + 90
    while True:
        topic = f"tidegate/{agent.device}/reported"
        message = subscribe.simple(topic, hostname="127.0.0.1", port=broker.port)  # type: ignore[no-untyped-call]
        told: dict[str, Any] = json.loads(message.payload)
        if holds(told) or time.monotonic() > deadline:
            return told
        time.sleep(0.1)


def resign(path: Path, statement: Statement, key: Path) -> None:
    envelope = Envelope(PAYLOAD_TYPE, statement.model_dump_json().encode())
    path.write_bytes(envelope.signed_by([read_private(key)]).to_json())


def check_counted_again(agent: AgentProcess, broker: LocalBroker, here: str) -> None:
    """As after an update of the runtime: of another one, until the kept frames have shown it here."""
    held = agent.status().certificate
    assert held is not None
    assert (held.placement, held.here) == (ELSEWHERE, here)
    assert f"counted on {ELSEWHERE}" in " ".join(tidegate_here("status", "--config", agent.config).stdout.split())
    assert tidegate_here("footage", "count", "--config", agent.config).returncode == 0
    counted = reported(agent, broker, lambda told: (told["certificate"]["recount"] or {}).get("at"))
    recount = counted["certificate"]["recount"]
    assert (recount["state"], recount["here"], recount["inputs"]) == ("holds", here, CLIPS), agent.log()
    assert recount["taken_off"] == []
    assert any(
        event["kind"] == "certificate" and f"counted again on {here}: holds" in str(event["text"])
        for event in agent.status().recent
    )


def test_the_cameras_own_certificate_is_signed_installed_used_and_reported(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    sheet, signed = tmp_path / "sheet.csv", tmp_path / "camera.json"
    key = PrivateKey.new()
    write_pair(tmp_path / "yard.key", key)
    fill_footage(tmp_path / "state")
    (tmp_path / "policy.yaml").write_text(CHEAPEST)
    (tmp_path / "plugged.csv").write_text(PLUGGED)
    agent = start_agent(
        broker,
        footage={"max_size": "64 MiB"},
        replay={"trace": str(tmp_path / "plugged.csv")},
        trusted_keys=[{"name": "yard", "key": key.public.text, "roles": ["certificate"]}],
    )
    assert certify(agent.state_dir, "--labels", sheet).returncode == 0
    label(sheet)
    words = ("--labels", sheet, "--key", tmp_path / "yard.key", "--certificate", signed)
    assert certify(agent.state_dir, *words).returncode == 0
    statement = statement_in(signed)
    names = {each.name for each in statement.points}
    before = agent.wait_until(lambda status: status.point not in {"full", *names})

    reloaded = set_key(agent, certificate=str(signed))
    assert "certificate on footage of" in reloaded.stdout, reloaded
    # The point that the build certified for other digits is none to use here.
    status = agent.wait_until(lambda status: status.point != before.point)
    assert status.point in names
    assert status.certificate is not None
    assert (status.certificate.state, status.certificate.signed_by) == ("in_force", ("yard",))
    assert {rung.name: rung.certified_risk for rung in status.ladder if rung.certified_risk is not None} == {
        each.name: each.alpha for each in statement.points
    }
    code, reply = agent.ask()
    assert code == 200
    assert reply["parameters"]["certified_risk"] == status.certified_risk  # type: ignore[index]
    assert "signed by yard" in tidegate_here("status", "--config", agent.config).stdout
    told = reported(agent, broker, lambda told: told["certificate"] is not None)["certificate"]
    assert told["keyids"] == [key.public.keyid]
    assert (told["inputs"], told["counted_at"][:10]) == (CLIPS, f"{statement.counted_at:%Y-%m-%d}")
    assert told["placement"] == told["here"] == statement.placement
    assert {each["point"]: each["alpha"] for each in told["points"]} == {
        each.name: each.alpha for each in statement.points
    }
    shown = tidegate_here("fleet", "status", "--json", "--broker", f"127.0.0.1:{broker.port}")
    (device,) = json.loads(shown.stdout)["devices"]
    assert device["reported"]["certificate"]["keyids"] == [key.public.keyid]

    resign(signed, statement.model_copy(update={"placement": ELSEWHERE}), tmp_path / "yard.key")
    assert "certificate on footage of" in tidegate_here("reload", "--config", agent.config).stdout
    check_counted_again(agent, broker, statement.placement)
    held = agent.status().certificate
    forged = statement.model_copy(update={"delta": 0.5})
    stranger = Envelope(PAYLOAD_TYPE, forged.model_dump_json().encode()).signed_by([PrivateKey.new()])
    signed.write_bytes(stranger.to_json())
    refused = tidegate_here("reload", "--config", agent.config)
    assert refused.returncode == 78
    assert "signed by a key that is not trusted here" in refused.stderr
    assert agent.status().certificate == held


def test_a_certificate_comes_over_mqtt_is_checked_and_stays(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    key = PrivateKey.new()
    write_pair(tmp_path / "yard.key", key)
    fill_footage(tmp_path / "state")
    agent = start_agent(
        broker,
        footage={"max_size": "64 MiB"},
        trusted_keys=[{"name": "yard", "key": key.public.text, "roles": ["certificate"]}],
    )
    files = [tmp_path / f"{name}.json" for name in ("first", "second", "strange")]
    write_pair(tmp_path / "stranger.key", PrivateKey.new())
    for signed, own in zip(files, ("yard.key", "yard.key", "stranger.key"), strict=True):
        words = ("--device", agent.device, "--key", tmp_path / own, "--certificate", signed)
        assert certify(agent.state_dir, *words).returncode == 0

    def push(signed: Path) -> Ended:
        return tidegate_here("bundle", "push-certificate", signed, "--broker", f"127.0.0.1:{broker.port}")

    pushed = push(files[1])
    assert (pushed.returncode, "accepted" in pushed.stdout) == (0, True), pushed
    told = reported(agent, broker, lambda told: told["certificate"] is not None)
    statement = statement_in(files[1])
    assert (told["certificate"]["state"], told["certificate"]["signed_by"]) == ("in_force", ["yard"])
    assert told["certificate"]["counted_at"] == statement.counted_at.isoformat(timespec="seconds")
    assert told["certificate_push"]["state"] == "accepted"
    assert agent.ask()[0] == 200
    # Again it is the same one; an earlier count, and one of somebody else, change nothing.
    assert push(files[1]).returncode == 0
    for signed, why in ((files[0], "counted no later"), (files[2], "--role certificate")):
        refused = push(signed)
        assert (refused.returncode, why in " ".join(refused.stderr.split())) == (65, True), refused
    unnamed = statement_in(files[1]).model_copy(update={"device": None})
    resign(tmp_path / "unnamed.json", unnamed, tmp_path / "yard.key")
    assert push(tmp_path / "unnamed.json").returncode == 65
    status = agent.status()
    assert status.certificate is not None
    assert status.certificate.state == "in_force"
    agent.end()
    agent.start()
    status = agent.wait_until(lambda status: status.certificate is not None)
    assert status.certificate is not None
    assert status.certificate.counted_at == statement.counted_at.isoformat(timespec="seconds")
