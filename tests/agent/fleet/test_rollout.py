"""Rollouts over a real broker to devices on real links: all stages, an end to it, and going on after a stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from here import tidegate_here
from paho.mqtt import subscribe

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.rollout.abort_expression import parse_rule
from tidegate.fleet.rollout.abort_rule import DEFAULT
from tidegate.fleet.rollout.rollout import Plan, Pushable, Rollout, RolloutElsewhereError, RolloutError
from tidegate.fleet.rollout.rollout_state import RolloutStateError
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.link import Link
from tidegate.telemetry.payloads.envelope import Target, open_envelope, policy_hash, policy_in, seal
from tidegate.telemetry.payloads.reported import ComparedPoint, PolicyState, PolicyVerdict, Reported
from tidegate.telemetry.payloads.window import Window
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.topics import DeviceTopics
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PrivateKey

pytestmark = pytest.mark.broker

BARN = Target("group", "barn")
TEXT = "tidegate: 1\nname: night\nversion: 5\n"
KEY = PrivateKey(bytes(32))
PLAN = Plan((0.2, 0.6, 1.0), parse_rule(DEFAULT), answer_s=5.0, soak_s=0.2)


class Light:
    """A device that reports a verdict on each push at once; `state` says which."""

    def __init__(self, name: str, broker: LocalBroker, directory: Path) -> None:
        self.name = name
        self.pushes = 0
        self.mute = False
        self.verdict: PolicyState | None = None
        self.state: PolicyVerdict = "accepted"
        self.demotes: tuple[str, ...] = ()
        self.compared: tuple[ComparedPoint, ...] = ()
        self.spool = Spool(directory / f"{name}.db", 10**6, 3600.0)
        self.link = Link(broker.address, Device(name, ("barn",), 1), self.spool, on_policy=self._take)
        self.link.report(Reported("1", groups=("barn",), demoted=("old",)).to_document())
        self.link.start()

    def _take(self, _topic: str, payload: bytes) -> None:
        if not payload or self.mute:
            self.pushes += bool(payload)
            return
        push = policy_in(open_envelope(payload))
        self.pushes += 1
        self.verdict = PolicyState(
            push.version, push.hash, self.state, "why" * (self.state != "accepted"), "", push.push_id
        )
        self.tell()

    def tell(self) -> None:
        """Report what there is to say by now."""
        told = self.verdict
        taken = told if told is not None and told.state == "accepted" else None
        demoted = ("old", *self.demotes)
        broke = tuple(ComparedPoint(name, 100, 50, 0.02) for name in self.demotes)
        report = Reported(
            "1",
            taken,
            None if taken else told,
            groups=("barn",),
            demoted=demoted,
            compared=(*self.compared, *broke),
        )
        self.link.report(report.to_document())

    def window(self, p95_ms: float) -> None:
        """Measure something."""
        policy = 0 if self.verdict is None else self.verdict.version
        told = Window(time.time(), 0.05, "full", policy, "running", 0, 0, requests=5, p95_ms=p95_ms)
        self.spool.put(DeviceTopics(self.name).telemetry, told.to_document(), told.at)
        self.link.wake()

    def close(self) -> None:
        self.link.stop(0.2)
        self.spool.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def lights(broker: LocalBroker, tmp_path: Path) -> Iterator[dict[str, Light]]:
    with ExitStack() as closing:
        found = {}
        for number in range(5):
            light = found[f"cam-{number}"] = Light(f"cam-{number}", broker, tmp_path)
            closing.callback(light.close)
        deadline = time.monotonic() + 10
        while any(
            light.link.counters.state.state != "online" or light.link.counters.in_flight
            for light in found.values()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield found


def rollout(
    broker: LocalBroker, tell: Callable[[str], None] = lambda _: None, key: PrivateKey = KEY, version: int = 5
) -> Rollout:
    def envelope(to: Target) -> Envelope:
        return seal(TEXT, version, to, None, [key])

    pushable = Pushable(f"night version {version}", version, policy_hash(TEXT), envelope, lambda to: to.topic)
    return Rollout(broker.address, BARN, pushable, [key], tell)


def test_all_stages_and_then_the_group(broker: LocalBroker, lights: dict[str, Light]) -> None:
    told: list[str] = []
    state = rollout(broker, told.append).run(PLAN)
    assert (state.state, [len(stage) for stage in state.stages]) == ("done", [1, 2, 2])
    assert [line for line in told if "took it" in line] == [
        f"stage {stage}: {devices} took it, 0 did not" for stage, devices in ((1, 1), (2, 2), (3, 2))
    ]
    (unknown,) = state.unknown
    assert unknown.startswith(
        "worse > 1 %: no answer was compared with the full model; that takes a `drift_guard`"
    )
    group = subscribe.simple(BARN.topic, hostname="127.0.0.1", port=broker.port)
    assert policy_in(open_envelope(group.payload)).target == BARN
    before = [light.pushes for light in lights.values()]
    assert rollout(broker).run(PLAN) == state, "said again, there is nothing to do"
    assert [light.pushes for light in lights.values()] == before


@pytest.mark.parametrize("how", ["refused", "rolled_back", "demoted"])
def test_bad_canaries_halt_it_and_the_others_never_hear_of_it(
    broker: LocalBroker, lights: dict[str, Light], how: str
) -> None:
    for light in lights.values():
        if how == "demoted":
            light.demotes = ("int8",)
        else:
            light.state = how  # type: ignore[assignment]  # one of its words
    state = rollout(broker).run(PLAN)
    assert (state.state, state.stage) == ("halted", 0)
    assert f"1 of 1 {how}" in state.reason
    (canary,) = state.stages[0]
    assert {name: light.pushes for name, light in lights.items()} == {name: int(name == canary) for name in lights}
    assert rollout(broker).run(PLAN).state == "halted", "it stays so"


def test_answers_worse_than_certified_halt_it_and_too_few_are_waited_for(
    broker: LocalBroker, lights: dict[str, Light]
) -> None:
    for light in lights.values():
        light.compared = (ComparedPoint("int8", 3000, 95, 0.02),)
    state = rollout(broker).run(PLAN)
    assert (state.state, state.stage) == ("halted", 0)
    assert state.reason == (
        "worse than certified: 95 of 3000 compared answers disagreed with the full model, certificates allow 60.0"
    )


def test_a_stage_lasts_until_enough_answers_are_compared(broker: LocalBroker, lights: dict[str, Light]) -> None:
    for light in lights.values():
        light.compared = (ComparedPoint("int8", 500, 10, 0.02),)

    def compare_more(said: str) -> None:
        if said.startswith("stage 1 of"):
            until(lambda: any(light.verdict for light in lights.values()))
            for light in lights.values():
                if light.verdict:
                    light.compared = (ComparedPoint("int8", 4000, 80, 0.02),)
                    threading.Timer(0.3, light.tell).start()

    state = rollout(broker, compare_more).run(replace(PLAN, compare_s=20.0))
    assert (state.state, state.unknown) == ("done", ())
    few = rollout(broker, version=6).run(replace(PLAN, compare_s=0.0, rule=parse_rule("worse > 0.01 %")))
    assert few.state == "done"
    assert few.unknown[0].startswith("worse > 0.01 %: undecided, ")


def test_it_goes_on_at_another_desk_with_the_same_key(broker: LocalBroker, lights: dict[str, Light]) -> None:
    class ShutError(Exception):
        """The desk is shut."""

    def stop(said: str) -> None:
        if said.startswith("stage 2 of"):
            raise ShutError

    with pytest.raises(ShutError):
        rollout(broker, stop).run(PLAN)
    with pytest.raises(RolloutStateError, match="not signed"):
        rollout(broker, key=PrivateKey(bytes([7] * 32))).run(PLAN)
    state = rollout(broker).run(PLAN)
    assert state.state == "done"
    (canary,) = state.stages[0]
    # Its own topic once, and the group's at the end.
    assert lights[canary].pushes == 2


def test_the_desk_that_came_last_goes_on(broker: LocalBroker, lights: dict[str, Light]) -> None:
    ended: list[str] = []

    def first_desk() -> None:
        with pytest.raises(RolloutElsewhereError, match="another desk has gone on"):
            rollout(broker).run(replace(PLAN, soak_s=60.0))
        ended.append("first")

    first = threading.Thread(target=first_desk)
    first.start()
    until(lambda: any(light.pushes for light in lights.values()))
    with pytest.raises(RolloutElsewhereError, match=r"night version 5 is being rolled out there, 0 of 3 stages"):
        rollout(broker, version=6).run(PLAN)
    assert rollout(broker).run(PLAN).state == "done"
    first.join(20)
    assert ended == ["first"]


def test_another_rollout_takes_its_place_on_demand(broker: LocalBroker, lights: dict[str, Light]) -> None:
    with pytest.raises(ZeroDivisionError):
        rollout(broker, lambda said: 1 / 0 if said.startswith("stage 1 of") else None).run(PLAN)
    assert rollout(broker, version=6).run(replace(PLAN, instead=True)).state == "done"


def test_a_broker_that_forgets_everything_in_the_middle_gets_it_again(tmp_path: Path) -> None:
    with ExitStack() as closing:
        broker = closing.enter_context(LocalBroker(tmp_path / "broker"))
        lights = [Light(f"cam-{number}", broker, tmp_path) for number in range(5)]
        for light in lights:
            light.mute = True
            closing.callback(light.close)
        until(lambda: all(light.link.counters.state.state == "online" for light in lights))

        def forget(said: str) -> None:
            if said.startswith("stage 1 of"):
                until(lambda: any(light.pushes for light in lights))
                broker.kill()
                (tmp_path / "broker" / "mosquitto.db").unlink(missing_ok=True)
                broker.start()
                for light in lights:
                    light.mute = False

        state = rollout(broker, forget).run(replace(PLAN, answer_s=40.0))
        assert state.state == "done"
        assert rollout(broker).run(PLAN) == state, "its state is there again"
        assert sum(bool(light.pushes) for light in lights) == 5


def test_who_runs_something_newer_is_not_waited_for(broker: LocalBroker, lights: dict[str, Light]) -> None:
    for light in lights.values():
        light.verdict = PolicyState(7, "ab" * 32, "accepted")
        light.tell()
        light.mute = True
    lights["cam-3"].mute = False
    until(lambda: all(light.link.counters.in_flight == 0 for light in lights.values()))
    state = rollout(broker).run(replace(PLAN, shares=(1.0,), answer_s=0.5))
    assert (state.state, state.reason) == ("done", ""), "four run version 7, the fifth took this one"


def test_measures_are_held_against_those_before(broker: LocalBroker, lights: dict[str, Light]) -> None:
    stop = threading.Event()

    def measure() -> None:
        while not stop.wait(0.05):
            for light in lights.values():
                light.window(p95_ms=40.0 if light.pushes == 0 else 52.0)

    rule = parse_rule("latency_p95 > before + 25 %, temperature > 70 C")
    meter = threading.Thread(target=measure)
    meter.start()
    try:
        state = rollout(broker).run(replace(PLAN, rule=rule, before_s=20.0, soak_s=20.0))
    finally:
        stop.set()
        meter.join()
    assert state.state == "halted"
    assert "1 of 1 devices have latency_p95 > before + 25 %: " in state.reason
    assert "52 ms, 40 ms before" in state.reason
    assert state.unknown[0].startswith("temperature > 70 C: not known of 1 of 1 devices: cam-")


def test_nobody_there_is_said(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.fleet.rollout.rollout._NOBODY_S", 0.5)
    with pytest.raises(RolloutError, match="no device has been seen"):
        rollout(broker).run(PLAN)


def test_those_that_took_it_are_led_back(broker: LocalBroker, lights: dict[str, Light], tmp_path: Path) -> None:
    for light in lights.values():
        light.demotes = ("int8",)
    assert tidegate_here("key", "new", tmp_path / "ops").returncode == 0
    files = []
    for version in (5, 6):
        files.append(tmp_path / f"{version}.yaml")
        files[-1].write_text(f"tidegate: 1\nname: night\nversion: {version}\nmax_accuracy_loss: 5 %\n")
    new, old = files
    where = ("--key", tmp_path / "ops.key", "--broker", f"127.0.0.1:{broker.port}", "--soak", "0.2")
    ended = tidegate_here("fleet", "push", new, "--group", "barn", *where, "--back-to", old)
    assert ended.returncode == 65, ended
    assert "halted in stage 1 of 3: 1 of 1 demoted" in ended.stderr
    assert "night version 6 accepted" in ended.stderr
    assert sorted(light.pushes for light in lights.values()) == [0, 0, 0, 0, 2]


def test_a_rule_that_allows_refusals_does_not_hide_them(
    broker: LocalBroker, lights: dict[str, Light], tmp_path: Path
) -> None:
    lights["cam-1"].state = lights["cam-3"].state = "refused"
    assert tidegate_here("key", "new", tmp_path / "ops").returncode == 0
    policy = tmp_path / "5.yaml"
    policy.write_text("tidegate: 1\nname: night\nversion: 5\nmax_accuracy_loss: 5 %\n")
    where = ("--key", tmp_path / "ops.key", "--broker", f"127.0.0.1:{broker.port}", "--soak", "0.2")
    how = ("--canary", "60%", "--then", "100%", "--abort-if", "silent > 20 %")
    ended = tidegate_here("fleet", "push", policy, "--group", "barn", *where, *how)
    assert ended.returncode == 65, ended
    assert "night version 5: rolled out; 3 of 5 took it\n2 refused:\n  cam-1, cam-3: why" in ended.stderr


def test_canaries_that_are_away_try_nothing(broker: LocalBroker, lights: dict[str, Light]) -> None:
    for light in lights.values():
        light.link.stop(0.2)
    state = rollout(broker).run(PLAN)
    assert (state.state, state.reason) == ("halted", "none of the devices so far was there to try it")


@pytest.mark.parametrize("good", [True, False], ids=["done", "halted"])
def test_who_wakes_a_week_later_lands_on_the_right_side(
    broker: LocalBroker, lights: dict[str, Light], tmp_path: Path, good: bool
) -> None:
    for name, light in lights.items():
        light.state = "accepted" if good or name == "cam-4" else "refused"
    asleep = lights["cam-4"]
    asleep.link.stop(1.0)
    state = rollout(broker).run(replace(PLAN, shares=(0.2, 1.0)))
    assert state.state == ("done" if good else "halted")
    assert not asleep.pushes
    (tmp_path / "later").mkdir()
    awake = Light("cam-4", broker, tmp_path / "later")
    try:
        until(lambda: awake.link.counters.state.state == "online" and awake.link.counters.in_flight == 0)
        if good:
            until(lambda: awake.pushes > 0)
        else:
            # Whatever was retained for it would come before an answer to what is asked after.
            time.sleep(0.5)
        assert bool(awake.pushes) is good
    finally:
        awake.close()


WRONG = {
    "no key": ((), "--key"),
    "shares that shrink": (("--then", "50%,20%,100%"), "grow to 100%"),
    "shares that end early": (("--then", "50%"), "grow to 100%"),
    "no share": (("--canary", "some"), "grow to 100%"),
    "no rule": (("--abort-if", "bored > 1"), "allowed is NAME"),
    "no condition": (("--when", "{batery: 1}"), "battery"),
    "an older way back": (("--back-to", "{older}"), "allowed is one above 5"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_option_is_said_before_anything_is_pushed(tmp_path: Path, wrong: str) -> None:
    policy, older = tmp_path / "5.yaml", tmp_path / "4.yaml"
    for file, version in ((policy, 5), (older, 4)):
        file.write_text(f"tidegate: 1\nname: night\nversion: {version}\nmax_accuracy_loss: 5 %\n")
    assert tidegate_here("key", "new", tmp_path / "ops").returncode == 0
    options, said = WRONG[wrong]
    key = () if wrong == "no key" else ("--key", tmp_path / "ops.key")
    given = [option.format(older=older) if option.startswith("{older") else option for option in options]
    ended = tidegate_here("fleet", "push", policy, "--fleet", *key, *given, "--broker", "127.0.0.1:1")
    assert (ended.returncode, said in ended.stderr) == (78 if wrong == "no condition" else 64, True), ended
