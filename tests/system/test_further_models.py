"""An agent with models beside its main one: by name, loaded and unloaded, within one memory, by one policy."""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from agent_process import BELOW_FULL, BUNDLE, ENGINE, AgentProcess, Load, pinned
from edited_bundle import vouch
from heavy_bundle import keep_heavy_bundle
from here import tidegate_here

from tidegate.demo.client import UnixConnection
from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.watched_fleet import WatchedFleet
from tidegate.models.bundle import open_bundle
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.payloads.reported import ReportedModel
from tidegate_bench.frigate.subject import CHEAP, SIZE, keep_bundle

pytestmark = pytest.mark.broker

HEAVY_BYTES = 32 << 20
LIMIT_MIB = 175
PIXELS = {"image": ([1, 1, 8, 8], [8] * 64)}
PICTURE = {"image": ([1, 3, SIZE, SIZE], [10] * (3 * SIZE * SIZE))}
CEILING = 0.01


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("agent")
    keep_bundle(directory / "cells")
    keep_heavy_bundle(directory / "heavy", HEAVY_BYTES)
    pipe = directory / "frames.pipe"
    os.mkfifo(pipe)
    settings: dict[str, object] = {
        "worker": {"engine": ENGINE, "memory_limit": f"{LIMIT_MIB} MiB", "keep_resident": "0 MiB"},
        "models": [
            {"name": "cells", "bundle": str(directory / "cells")},
            {"name": "twin", "bundle": str(BUNDLE), "max_accuracy_loss": f"{CEILING * 100:g} %"},
            {"name": "heavy", "bundle": str(directory / "heavy"), "load": "on_request"},
        ],
        "streams": [
            {
                "name": "door",
                "model": "twin",
                "from": {"lines": str(pipe)},
                "to": {"lines": str(directory / "door.jsonl")},
            }
        ],
    }
    with LocalBroker() as broker:
        started = AgentProcess(directory, broker, settings)
        started.start()
        started.wait_until(lambda status: states(status)["twin"] == "READY")
        yield started
        started.end()


def states(status: Any) -> dict[str, str]:
    return {each.name: each.state for each in status.models}


def points(agent: AgentProcess) -> dict[str, str | None]:
    return {each.name: each.point for each in agent.status().models}


def call(agent: AgentProcess, path: str, body: object = None, method: str = "POST") -> tuple[int, Any]:
    connection = UnixConnection(str(agent.directory / "tidegate.sock"), 60)
    connection.request(method, f"/v2/{path}", None if body is None else json.dumps(body))
    response = connection.getresponse()
    document = json.loads(response.read())
    connection.close()
    return response.status, document


def ask(agent: AgentProcess, model: str) -> tuple[int, Any]:
    ((name, (shape, data)),) = (PICTURE if model.startswith("cells") else PIXELS).items()
    tensor = {"name": name, "shape": shape, "datatype": "UINT8", "data": data}
    return call(agent, f"models/{model}/infer", {"inputs": [tensor]})


def reported(agent: AgentProcess, expected: dict[str, str]) -> Mapping[str, ReportedModel]:
    """What the fleet sees of them, once their states are as expected."""
    settings = yaml.safe_load(agent.config.read_text())["broker"]
    deadline = time.monotonic() + 20
    with WatchedFleet(Broker(settings["host"], settings["port"])) as fleet:
        while True:
            seen = [each.reported for each in fleet.devices(None) if each.reported is not None]
            models = {each.name: each for report in seen for each in report.models}
            found = {name: each.state for name, each in models.items()}
            if found == expected:
                return models
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def held_mib(agent: AgentProcess) -> float:
    """What the worker holds, by the kernel."""
    pid = agent.status().worker.pid
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def reload(agent: AgentProcess, **settings: object) -> Any:
    document = yaml.safe_load(agent.config.read_text())
    agent.config.write_text(yaml.safe_dump({**document, **settings}))
    return tidegate_here("reload", "--config", agent.config)


def test_each_is_asked_by_its_name_and_another_name_is_told_which_there_are(agent: AgentProcess) -> None:
    for model, outputs in (("digits", [1, 10]), ("twin", [1, 10]), ("cells", [1, 126])):
        status, reply = ask(agent, model)
        assert (status, reply["model_name"]) == (200, model)
        assert reply["outputs"][0]["shape"] == outputs
        assert call(agent, f"models/{model}/ready", method="GET") == (200, {"ready": True})
        assert call(agent, f"models/{model}/config", method="GET")[1]["name"] == model
    status, reply = call(agent, "models/dogs/infer", {})
    assert status == 404
    for name in ("digits", "twin", "cells", "heavy"):
        assert f"/v2/models/{name}" in reply["error"]
    counted = call(agent, "models/stats", method="GET")[1]["model_stats"]
    assert {each["name"] for each in counted} >= {"digits", "twin", "cells"}
    status, reply = call(agent, "models/twin/infer", {"inputs": [{"data": [1] * 90_000}]})
    assert status == 413, "what a detector may ask is more than a classifier may"


def test_tritonclient_loads_and_unloads_while_others_lose_nothing(agent: AgentProcess) -> None:
    http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    client = http.InferenceServerClient(f"127.0.0.1:{port(agent)}")
    given = http.InferInput("image", [1, 3, SIZE, SIZE], "FP32")
    given.set_data_from_numpy(np.zeros((1, 3, SIZE, SIZE), np.float32))
    with Load(agent, 200) as load:
        load.wait_served(5)
        for _ in range(3):
            client.unload_model("cells")
            assert not client.is_model_ready("cells")
            with pytest.raises(Exception, match="unloaded by a client"):
                client.infer("cells", [given])
            index = {each["name"]: each for each in client.get_model_repository_index()}
            assert index["cells"]["state"] == "UNAVAILABLE"
            client.load_model("cells")
            assert client.infer("cells", [given]).get_response()["model_name"] == "cells"
    assert (load.summary.failed, load.summary.retried) == (0, 0)
    with pytest.raises(Exception, match="as long as it runs"):
        client.unload_model("digits")
    with pytest.raises(Exception, match="stream door needs it"):
        client.unload_model("twin")
    with pytest.raises(Exception, match="is loaded as its bundle says"):
        client.load_model("cells", config="{}")
    client.close()


def port(agent: AgentProcess) -> int:
    said = next(line for line in reversed(agent.log().splitlines()) if "answers on http://" in line)
    return int(said.split("http://127.0.0.1:")[1].split()[0])


def said_to_need(directory: Path, name: str, mib: float) -> Path:
    """The heavy bundle with a figure of its own for what it takes."""
    other = directory / name
    shutil.copytree(directory / "heavy", other)
    ladder = json.loads((other / "ladder.json").read_text())
    ladder["points"][0]["figures"]["weights_resident_bytes"] = int(mib * 2**20)
    (other / "ladder.json").write_text(json.dumps(ladder))
    vouch(other, "ladder.json")
    return other


def test_the_fleet_sees_where_each_is_and_whether_it_answers(agent: AgentProcess) -> None:
    as_begun = {"cells": "loaded", "twin": "loaded", "heavy": "unloaded"}
    models = reported(agent, as_begun)
    assert models["twin"].operating_point == agent.status().point
    assert models["twin"].bundle == open_bundle(BUNDLE).sha256
    assert call(agent, "repository/models/cells/unload")[0] == 200
    gone = reported(agent, {**as_begun, "cells": "unloaded"})["cells"]
    assert gone.operating_point is None
    assert "unloaded by a client" in gone.reason
    assert call(agent, "repository/models/cells/load")[0] == 200
    reported(agent, as_begun)


def test_memory_is_given_back_and_what_does_not_fit_makes_the_idlest_go_or_is_refused(agent: AgentProcess) -> None:
    heavy = HEAVY_BYTES / 2**20
    empty = held_mib(agent)
    assert ask(agent, "heavy")[0] == 200
    loaded = held_mib(agent)
    assert loaded - empty > 0.8 * heavy
    assert call(agent, "repository/models/heavy/unload")[0] == 200
    assert loaded - held_mib(agent) > 0.8 * heavy
    assert call(agent, "repository/models/heavy/load")[0] == 200
    room = LIMIT_MIB - held_mib(agent)
    models = yaml.safe_load(agent.config.read_text())["models"]
    heavier = said_to_need(agent.directory, "heavier", room + heavy / 2)
    heaviest = said_to_need(agent.directory, "heaviest", LIMIT_MIB)
    more = [
        *models,
        {"name": "heavier", "bundle": str(heavier), "load": "on_request"},
        {"name": "heaviest", "bundle": str(heaviest), "load": "on_request"},
    ]
    pid = agent.status().worker.pid
    assert reload(agent, models=more).returncode == 0
    assert ask(agent, "heavier")[0] == 200
    index = {each["name"]: each for each in call(agent, "repository/index")[1]}
    assert index["heavy"]["reason"].startswith("it made room for heavier")
    begun = {"cells": "loaded", "twin": "loaded", "heavy": "evicted", "heavier": "loaded"}
    told = reported(agent, {**begun, "heaviest": "unloaded"})
    assert told["heavy"].reason.startswith("it made room for heavier")
    status, reply = ask(agent, "heaviest")
    assert status == 503
    assert "worker.memory_limit allows" in reply["error"]
    told = reported(agent, {**begun, "heaviest": "failed"})  # and no other made room for it in vain
    assert told["heaviest"].reason.endswith("the next request for it tries again")
    terminal = tidegate_here("status", "--state-dir", agent.state_dir).stdout
    assert "evicted: it made room for heavier" in terminal
    assert f"failed: it needs about {LIMIT_MIB} MiB" in terminal
    assert held_mib(agent) < LIMIT_MIB
    done = reload(agent, models=[*models, {"name": "heaviest", "bundle": str(heaviest)}])
    assert done.returncode == 78
    assert f"model heaviest: it needs about {LIMIT_MIB} MiB" in done.stderr
    assert "worker.memory_limit allows" in done.stderr
    assert "heavier" in points(agent), "those before are in force"
    for twin, expected in (({"bundle": str(heaviest)}, 78), ({"max_accuracy_loss": "2 %"}, 0)):
        changed = [{**each, **twin} if each["name"] == "twin" else each for each in models]
        assert reload(agent, models=changed).returncode == expected, "of a bundle that was refused nothing stays"
    assert reload(agent, models=models).returncode == 0
    assert agent.status().worker.pid == pid, "no worker was ended for it"
    assert agent.status().worker.restarts == 0


def test_all_follow_one_policy_each_on_its_own_ladder(agent: AgentProcess) -> None:
    policy = agent.directory / "policy.yaml"
    text = policy.read_text()
    ladder = open_bundle(BUNDLE).ladder
    policy.write_text(pinned(BELOW_FULL, 2))
    assert tidegate_here("reload", "--config", agent.config).returncode == 0
    agent.wait_until(lambda status: status.point == BELOW_FULL and points(agent)["twin"] == BELOW_FULL)
    when = "{memory_available: {above: 2 MiB, until: 1 MiB}}"
    urgent = f"rules: [{{name: always, when: {when}, use: cheapest, urgent: true}}]\n"
    policy.write_text(text.replace("version: 1", "version: 3") + urgent)
    assert tidegate_here("reload", "--config", agent.config).returncode == 0
    within = [each.name for each in ladder.points if each.certificate and each.certificate.alpha <= CEILING]
    assert within[-1] != ladder.cheapest.name
    agent.wait_until(lambda status: status.point == ladder.cheapest.name and points(agent)["twin"] == within[-1])
    assert points(agent)["cells"] == CHEAP
    assert ask(agent, "twin")[1]["parameters"]["operating_point"] == within[-1]
    policy.write_text(text.replace("version: 1", "version: 4"))
    assert tidegate_here("reload", "--config", agent.config).returncode == 0
    agent.wait_until(lambda _: points(agent)["cells"] == "full")


def test_a_killed_worker_brings_them_back_and_requests_wait_for_that(agent: AgentProcess) -> None:
    before = agent.status().worker.restarts
    agent.kill_worker()
    assert [ask(agent, model)[0] for model in ("cells", "twin", "digits")] == [200, 200, 200]
    agent.wait_until(lambda status: status.worker.restarts == before + 1 and states(status)["twin"] == "READY")


def test_a_reload_adds_and_takes_away_while_others_lose_nothing(agent: AgentProcess) -> None:
    text = agent.config.read_text()
    models = yaml.safe_load(text)["models"]
    other = agent.directory / "other"
    shutil.copytree(BUNDLE, other)
    manifest = json.loads((other / "bundle.json").read_text())
    manifest["labels"] = [f"digit {label}" for label in manifest["labels"]]
    (other / "bundle.json").write_text(json.dumps(manifest))
    answered, lost, stop = [], [], threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            status, reply = ask(agent, "twin")
            (answered if status == 200 else lost).append(reply)

    asking = threading.Thread(target=keep_asking)
    with Load(agent) as load:
        asking.start()
        load.wait_served(5)
        twin = {**models[1], "bundle": str(other)}
        added = [{**models[0], "name": "cells-too"}, twin]
        done = reload(agent, models=added)
        assert "model cells-too" in done.stdout
        assert "model cells is served no more" in done.stdout
        assert ask(agent, "cells-too")[0] == 200
        assert ask(agent, "cells")[0] == 404
        labels = call(agent, "models/twin/config", method="GET")[1]["parameters"]["labels"]["string_value"]
        assert labels.startswith("digit 0"), "the same name is another bundle's by now"
        agent.config.write_text(text)
        assert tidegate_here("reload", "--config", agent.config).returncode == 0
        seen = len(answered)
        load.wait_served(5)
        until = time.monotonic() + 20
        while len(answered) == seen and time.monotonic() < until:
            time.sleep(0.01)
        stop.set()
        asking.join(30)
    assert lost == []
    assert len(answered) > seen
    assert (load.summary.failed, load.summary.retried) == (0, 0)


def test_what_is_wrong_with_a_model_leaves_what_runs(agent: AgentProcess) -> None:
    text = agent.config.read_text()
    models = yaml.safe_load(text)["models"]
    for wrong, said in (
        ({"name": "new", "bundle": "nowhere"}, "is not a directory"),
        ({"name": "digits", "bundle": str(BUNDLE)}, "'digits' is the name of the main model"),
        ({"name": "twin", "bundle": str(BUNDLE)}, "two models are called twin"),
        ({"name": "new", "bundle": str(BUNDLE), "engine": "coreml"}, "engine coreml"),
    ):
        done = reload(agent, models=[*models, wrong])
        assert done.returncode == 78
        assert said in done.stderr
        checked = tidegate_here("config", "check", agent.config)
        assert checked.returncode == 78
        assert said in checked.stderr
        agent.config.write_text(text)
    assert tidegate_here("reload", "--config", agent.config).returncode == 0
    assert ask(agent, "twin")[0] == 200


def test_a_stream_is_answered_by_the_model_that_it_names(agent: AgentProcess) -> None:
    with os.fdopen(os.open(agent.directory / "frames.pipe", os.O_WRONLY), "w") as writing:
        writing.write(json.dumps({"id": "n0", "data": [8] * 64}) + "\n")
    answered = agent.directory / "door.jsonl"
    agent.wait_until(lambda _: answered.exists() and bool(answered.read_text()))
    assert json.loads(answered.read_text().splitlines()[-1])["frame"] == "n0"
    shown = tidegate_here("status", "--state-dir", agent.state_dir).stdout
    assert "model twin" in shown
    assert "1/s served" in shown or "served" in shown
