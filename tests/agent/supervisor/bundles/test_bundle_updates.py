"""A pushed bundle at every stage: what it changes, what it costs, what is reported, and the way back."""

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from edited_bundle import SHIPPED, edited_bundle, vouch
from receiving_device import NOW, POLICIES, STRANGER, Device, Pushing, until

from tidegate.content.index import sha256_of
from tidegate.fleet.bundle_content import content_of
from tidegate.models.bundle import open_bundle
from tidegate.supervisor.bundles import bundle_updates, fitness
from tidegate.supervisor.bundles.slot_store import SlotStoreError
from tidegate.supervisor.bundles.slots import LEFT, STOPPED, Slots
from tidegate.supervisor.updates import push_condition
from tidegate.supervisor.updates.crash_loop import MOST_WHILE_NEW
from tidegate.supervisor.updates.policy_updates import NotYetError
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.payloads.bundle_envelope import FileDigest
from tidegate.telemetry.payloads.envelope import Target
from tidegate.trust.dsse import Envelope
from tidegate.trust.ratchet import MOST_AHEAD, Outcome, Trusted
from tidegate.trust.trusted_keys import TrustedKeys

OLD = open_bundle(SHIPPED).sha256


def content(directory: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in directory.iterdir()}


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edited_bundle(tmp_path_factory.mktemp("new") / "digits", 1.25)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


def test_it_comes_in_and_serves_and_costs_what_has_changed(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        device.operator = operator = Pushing(new)
        verdict = await device.pushed(operator.envelope(5))
        assert (verdict.state, verdict.version, verdict.push_id) == ("accepted", 5, "push-5")
        assert device.serves == operator.bundle.sha256
        slot = device.serving.in_force.bundle.path
        assert content(slot) == content(new)
        assert slot.is_relative_to(device.state_dir)
        assert device.wanted is None
        sizes = {place.chunk.sha256: place.chunk.size for place in operator.content.index.places()}
        sent = sum(sizes.get(each, 0) for each in operator.sent)
        assert 0 < sent <= (new / "ladder.json").stat().st_size + (new / "bundle.json").stat().st_size
        assert set(Counter(operator.sent).values()) == {1}
        assert [(each.version, each.state) for each in device.updates.progress.verdicts] == [(5, "accepted")]
        again = Device(tmp_path)
        assert again.serves == operator.bundle.sha256
        assert [each.state for each in again.updates.progress.verdicts] == []
        device.updates.keep_verdicts()
        assert [each.state for each in Device(tmp_path).updates.progress.verdicts] == ["accepted"]

    run(scenario)


PAST = NOW - timedelta(days=1)
WRONG: dict[str, tuple[Callable[[Pushing], Envelope | bytes], str]] = {
    "not_signed": (lambda it: it.envelope(6, None), "--key"),
    "unknown_key": (lambda it: it.envelope(6, STRANGER), "tidegate key trust"),
    "wrong_role": (lambda it: it.envelope(6, POLICIES), "policies may sign policy"),
    "bad_signature": (
        lambda it: replace(it.envelope(6), payload=it.envelope(7).payload),
        "not that of models",
    ),
    "wrong_target": (lambda it: it.envelope(6, target=Target("device", "gate-8")), "gate-8"),
    "downgrade": (lambda it: it.envelope(4), "older than"),
    "too_far_ahead": (lambda it: it.envelope(MOST_AHEAD + 6), "too far ahead"),
    "expired": (lambda it: it.envelope(6, expires=PAST), "it expired at"),
    "malformed": (lambda _: b"{}", "payloadType"),
    "too_large": (
        lambda it: it.envelope(6, files={**it.push(6).files, "bundle.json": FileDigest("0" * 64, 1 << 30)}),
        "pushed_bundles.max_size",
    ),
    "no_room": (lambda it: it.envelope(6), "make room"),
    "invalid": (
        lambda it: it.envelope(6, files={**it.push(6).files, "extra.bin": FileDigest("0" * 64, 1)}),
        "extra.bin",
    ),
}


@pytest.mark.parametrize("refusal", WRONG)
def test_what_is_wrong_is_refused_with_its_reason_and_changes_nothing(
    tmp_path: Path, new: Path, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if refusal == "no_room":
        monkeypatch.setattr(fitness, "RESERVE_BYTES", 1 << 60)
    make, words = WRONG[refusal]

    async def scenario() -> None:
        device = Device(tmp_path)
        in_force = device.updates.in_force
        device.store.write(replace(device.store.slots, trusted=Trusted(5, "f" * 64, Outcome.ACCEPTED)))
        before = device.store.slots
        verdict = await device.pushed(make(Pushing(new)))
        assert (verdict.state, verdict.refusal) == ("refused", refusal)
        assert words in verdict.reason
        assert (device.store.slots, device.updates.in_force, device.serves) == (before, in_force, OLD)
        assert device.asked == []
        assert dict(device.updates.progress.refusals) == {refusal: 1}
        assert device.events[-1].details["refusal"] == refusal

    run(scenario)


def test_a_condition_that_is_none_is_refused(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        verdict = await device.pushed(Pushing(new).envelope(6, when="{batery: {below: 20 %}}"))
        assert (verdict.state, verdict.refusal) == ("refused", "invalid")
        assert "battery" in verdict.reason

    run(scenario)


HARM = {
    "a worker that does not get ready": ("not_ready", "no operating point answers right here"),
    "harm in service": ("harm", "its worker ended"),
    "a policy that does not go with it": ("other_policy", "no such point on the ladder"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_trial_that_fails_leads_back_by_itself(tmp_path: Path, new: Path, harm: str) -> None:
    what, words = HARM[harm]

    async def scenario() -> None:
        device = Device(tmp_path)
        setattr(device.serving, what, words)
        device.operator = operator = Pushing(new)
        verdict = await device.pushed(operator.envelope(5))
        assert (verdict.state, words in verdict.reason) == ("rolled_back", True)
        assert (device.serves, device.updates.in_force) == (OLD, None)
        await until(lambda: not (device.state_dir / "bundles" / "a").exists())
        setattr(device.serving, what, "")
        await device.push(operator.envelope(5))
        assert device.verdict is not None
        assert device.verdict.state == "rolled_back", "the same again is no second chance"
        assert (await device.pushed(operator.envelope(6))).state == "accepted"
        assert Device(tmp_path).serves == operator.bundle.sha256

    run(scenario)


def test_content_that_is_signed_and_no_bundle_is_rolled_back(tmp_path: Path) -> None:
    broken = edited_bundle(tmp_path / "broken", 2.0)
    ladder = json.loads((broken / "ladder.json").read_text())
    operator = Pushing(broken)
    ladder["points"][0]["precision"] = "int4"
    (broken / "ladder.json").write_text(json.dumps(ladder))
    vouch(broken, "ladder.json")

    async def scenario() -> None:
        operator.content = content_of(broken)
        hashes = {**operator.bundle.hashes, "ladder.json": sha256_of(broken / "ladder.json")}
        operator.bundle = replace(operator.bundle, hashes=hashes, sha256=sha256_of(broken / "bundle.json"))
        device = Device(tmp_path)
        device.operator = operator
        verdict = await device.pushed(operator.envelope(5))
        assert (verdict.state, device.serves) == ("rolled_back", OLD)
        assert "it is no bundle" in verdict.reason

    run(scenario)


def test_a_key_that_was_revoked_while_content_came_signs_nothing(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        operator = Pushing(new)
        await device.push(operator.envelope(5))
        await until(lambda: device.wanted is not None)
        device.keys.use(TrustedKeys())
        device.operator = operator
        await until(lambda: device.verdict is not None and device.verdict.state == "rolled_back")
        assert device.verdict is not None
        assert "trusted no longer" in device.verdict.reason
        assert device.serves == OLD

    run(scenario)


def test_it_goes_on_where_it_was_after_any_number_of_stops(tmp_path: Path, new: Path) -> None:
    """Each start gets the index, which is kept in memory alone, and one chunk more.

    None is asked for again but what was in hand at a stop: with nothing kept the first would be at every start.
    """

    async def scenario() -> None:
        device, operator = Device(tmp_path, patience_s=1000.0), Pushing(new)
        await device.push(operator.envelope(5))
        pieces = operator.content.index_pieces.keys()
        known = {place.chunk.sha256 for place in content_of(SHIPPED).index.places()}
        needed = operator.content.places.keys() - known
        assert len(needed) > 2
        for starts in range(1, len(needed) + 1):
            await device.stop()
            device = Device(tmp_path, patience_s=1000.0)
            operator.loses = lambda sha256, most=starts: (
                sha256 not in pieces and len(needed.intersection(operator.sent)) >= most
            )
            device.operator = operator
            await until(lambda most=starts: len(needed.intersection(operator.sent)) == most)  # type: ignore[misc]  # its default
        await until(lambda: device.serves == operator.bundle.sha256)
        asked = Counter(each for each in operator.sent if each not in pieces)
        assert asked.keys() == needed
        assert max(asked.values()) <= 2

    run(scenario)


def test_lost_and_foreign_chunks_cost_time_alone(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        operator = Pushing(new)
        seen: Counter[str] = Counter()

        def lost_once(sha256: str) -> bool:
            seen[sha256] += 1
            for junk in (b"", b"\1junk", b"\0" + os.urandom(100), b"\2", b"\0" + b"x" * 70_000):
                device.updates.receive_chunk(junk)
            return seen[sha256] == 1

        operator.loses, device.operator = lost_once, operator
        verdict = await device.pushed(operator.envelope(5))
        assert (verdict.state, device.serves) == ("accepted", operator.bundle.sha256)
        asks = [document["ask"] for document in device.asked]
        assert asks == sorted(set(asks)), "a question that is asked again is another one"

    run(scenario)


def test_a_newer_push_takes_the_place_of_one_that_comes_in(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        operator, newer = Pushing(new), Pushing(edited_bundle(tmp_path / "newer", 3.5))
        await device.push(operator.envelope(5))
        await until(lambda: device.wanted is not None)
        device.operator = newer
        verdict = await device.pushed(newer.envelope(6))
        assert (verdict.state, verdict.version, device.serves) == ("accepted", 6, newer.bundle.sha256)

    run(scenario)


def test_what_a_broker_sends_again_changes_nothing(tmp_path: Path, new: Path) -> None:
    """It does at each connection: while it comes in, during its trial, and afterwards."""

    async def scenario() -> None:
        device = Device(tmp_path)
        operator = Pushing(new)
        envelope = operator.envelope(5)
        await device.push(envelope)
        await until(lambda: device.wanted is not None)
        await device.push(replace(envelope, push_id="another"))
        assert device.verdict is not None
        assert (device.verdict.state, device.verdict.push_id) == ("trial", "another")
        goes_on = asyncio.Event()

        async def watched(_seconds: float) -> str | None:
            await goes_on.wait()
            return None

        device.serving.problem_in_service = watched  # type: ignore[method-assign]
        device.operator = operator
        await until(lambda: device.store.slots.on_trial)
        await device.push(replace(envelope, push_id="third"))
        goes_on.set()
        await until(lambda: device.verdict is not None and device.verdict.state == "accepted")
        assert device.verdict.push_id == "third"
        assert device.serving.brought == [operator.bundle.sha256]
        again = await device.pushed(replace(envelope, push_id="fourth"))
        assert (again.state, again.push_id) == ("accepted", "fourth")
        assert len(device.updates.progress.verdicts) == 1

    run(scenario)


def test_the_bundle_in_force_needs_no_content(tmp_path: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        verdict = await device.pushed(Pushing(SHIPPED).envelope(9))
        assert (verdict.state, device.asked, device.serving.brought) == ("accepted", [], [])
        assert device.updates.in_force is None
        older = await device.pushed(Pushing(SHIPPED).envelope(8))
        assert older.refusal == "downgrade"

    run(scenario)


def test_two_slots_take_turns_and_the_one_before_is_the_way_back(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        operators = [
            Pushing(new),
            Pushing(edited_bundle(tmp_path / "2", 2.5)),
            Pushing(edited_bundle(tmp_path / "3", 4)),
        ]
        slots = []
        for version, operator in enumerate(operators, start=1):
            device.operator = operator
            assert (await device.pushed(operator.envelope(version))).state == "accepted"
            assert device.updates.in_force is not None
            slots.append(str(device.updates.in_force.slot))
            if version == 1:
                held = (device.state_dir / "bundles" / "a" / "ladder.json").open("rb")
        assert slots == ["a", "b", "a"]
        with held:
            assert held.read() == (new / "ladder.json").read_bytes(), "a worker may still read what it had open"
        assert sorted(each.name for each in (device.state_dir / "bundles").iterdir()) == ["a", "b", "slots.json"]
        for _ in range(MOST_WHILE_NEW):
            device.updates.worker_ended()
        await until(lambda: device.serves == operators[1].bundle.sha256)
        await until(lambda: device.verdict is not None and device.verdict.state == "rolled_back")
        assert device.verdict is not None
        assert "workers ended" in device.verdict.reason
        assert Device(tmp_path).serves == operators[1].bundle.sha256

    run(scenario)


def test_a_slot_that_is_damaged_is_left_for_the_one_before(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        second = Pushing(edited_bundle(tmp_path / "2", 2.5))
        for version, operator in enumerate((Pushing(new), second), start=1):
            device.operator = operator
            assert (await device.pushed(operator.envelope(version))).state == "accepted"
        with (device.state_dir / "bundles" / "b" / "weights.safetensors").open("r+b") as file:
            file.seek(200_000)
            file.write(b"\xff")
        again = Device(tmp_path)
        assert again.serves == open_bundle(new).sha256
        assert again.verdict is not None
        assert (again.verdict.state, again.verdict.version) == ("rolled_back", 2)
        shutil.rmtree(device.state_dir / "bundles" / "a")
        last = Device(tmp_path)
        assert (last.serves, last.updates.in_force) == (OLD, None)

    run(scenario)


def test_agent_yamls_bundle_counts_again_when_it_is_another(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        own = tmp_path / "own"
        shutil.copytree(SHIPPED, own)
        device = Device(tmp_path, bundle=own)
        device.operator = operator = Pushing(new)
        assert (await device.pushed(operator.envelope(5))).state == "accepted"
        assert device.updates.path_for(own) == device.serving.in_force.bundle.path
        assert device.updates.path_for(tmp_path / "elsewhere") == tmp_path / "elsewhere"
        shutil.rmtree(own)
        assert Device(tmp_path, bundle=own).serves == operator.bundle.sha256, "gone is not replaced"
        edited_bundle(own, 9.0)
        again = Device(tmp_path, bundle=own)
        assert again.serves == open_bundle(own).sha256
        assert "has changed since version 5" in str([event.text for event in again.events])
        older = await again.pushed(operator.envelope(5))
        assert (older.state, older.reason) == ("rolled_back", LEFT)
        assert again.serves == open_bundle(own).sha256

    run(scenario)


def test_a_trial_that_was_cut_off_is_given_up(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        device.operator = operator = Pushing(new)
        never = asyncio.Event()

        async def watched(_seconds: float) -> str | None:
            await never.wait()
            return None

        device.serving.problem_in_service = watched  # type: ignore[method-assign]
        await device.push(operator.envelope(5))
        await until(lambda: device.store.slots.on_trial)
        with pytest.raises(NotYetError, match="on trial"):
            await device.push(operator.envelope(6))
        await device.stop()
        again = Device(tmp_path)
        assert again.serves == OLD
        assert again.verdict is not None
        assert (again.verdict.state, again.verdict.reason) == ("rolled_back", STOPPED)

    run(scenario)


def test_it_waits_for_its_condition(tmp_path: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_condition, "LOOK_EVERY_S", 0.01)

    async def scenario() -> None:
        device = Device(tmp_path)
        device.operator = operator = Pushing(new)
        await device.push(operator.envelope(5, when="{power_source: external}"))
        await until(lambda: "waits" in (device.verdict.reason if device.verdict else ""))
        assert device.verdict is not None
        assert (device.verdict.state, device.verdict.reason) == ("trial", "it waits for {power_source: external}")
        assert device.asked == []
        device.on_external_power()
        await until(lambda: device.verdict is not None and device.verdict.state == "accepted")

    run(scenario)


def test_a_damaged_record_is_put_aside_and_its_trusted_version_goes_on(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)
        device.operator = operator = Pushing(new)
        assert (await device.pushed(operator.envelope(5))).state == "accepted"
        file = device.state_dir / "bundles" / "slots.json"
        document = json.loads(file.read_text())
        file.write_text(json.dumps({**document, "active": 7}))
        again = Device(tmp_path)
        assert again.serves == OLD
        assert "version 5 stays trusted" in str([event.text for event in again.events])
        assert (await again.pushed(operator.envelope(4))).refusal == "downgrade"

    run(scenario)


def test_allow_unsigned_does_not_extend_to_bundles(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path, settings="allow_unsigned: true\n")
        assert (await device.pushed(Pushing(new).envelope(5, None))).refusal == "not_signed"

    run(scenario)


def test_an_agent_that_fails_over_a_trial_serves_the_former_bundle(tmp_path: Path, new: Path) -> None:
    async def scenario() -> None:
        device = Device(tmp_path)

        async def breaks(_seconds: float) -> str | None:
            raise RuntimeError("a mistake of ours")

        device.serving.problem_in_service = breaks  # type: ignore[method-assign]
        device.operator = operator = Pushing(new)
        verdict = await device.pushed(operator.envelope(5))
        assert (verdict.state, "a mistake of ours" in verdict.reason) == ("rolled_back", True)
        assert (device.serves, device.serving.brought) == (OLD, [operator.bundle.sha256, OLD])
        assert not device.store.slots.on_trial

    run(scenario)


def test_a_commit_that_the_disk_refuses_is_tried_again(
    tmp_path: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_updates, "Backoff", lambda **_: Backoff(base_s=0.01, cap_s=0.01))

    async def scenario() -> None:
        device = Device(tmp_path)
        write, refused = device.store.write, 0

        def on_a_full_disk(slots: Slots) -> None:
            nonlocal refused
            if slots.active is not None and refused < 2:
                refused += 1
                raise SlotStoreError("slots.json: no space left")
            write(slots)

        device.store.write = on_a_full_disk  # type: ignore[method-assign]
        device.operator = operator = Pushing(new)
        verdict = await device.pushed(operator.envelope(5))
        assert (verdict.state, refused) == ("accepted", 2)
        there, back = operator.bundle.sha256, OLD
        assert device.serving.brought == [there, back, there, back, there]
        waits = [event.text for event in device.events if event.kind == "fault"]
        assert waits == [f"pushed bundle version 5 has to wait: {TRIED_AGAIN}slots.json: no space left"], (
            "told once"
        )

    run(scenario)


TRIED_AGAIN = "it is tried again when it can be stored: "
