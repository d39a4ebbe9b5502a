"""The two slots as a state machine: whatever comes in which order, what serves is whole and versions only grow."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidegate.supervisor.bundles import slots as steps
from tidegate.supervisor.bundles.slots import Base, Slot, Slots
from tidegate.trust.ratchet import Outcome, Verdict

BASE = Base("/bundle", "0" * 64)


class SlotsMachine(RuleBasedStateMachine):
    """`content` is what lies in the slots: a digest once a bundle came in whole, None while it comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots()
        self.content: dict[Slot, str | None] = {}
        self.highest = 0
        self.refused: set[tuple[int, str]] = set()

    @precondition(lambda self: not self.slots.on_trial)
    @rule(ahead=st.integers(-2, 3), name=st.sampled_from("xyz"))
    def offer(self, ahead: int, name: str) -> None:
        version = max(1, self.highest + ahead)
        digest = name * 64
        verdict = steps.judge(self.slots, version, digest).verdict
        assert (version, digest) not in self.refused or verdict is not Verdict.NEW, (
            "no second trial of what failed"
        )
        if verdict is not Verdict.NEW:
            return
        before = self.slots
        self.slots = steps.offer(before, version, digest, "envelope", ())
        self.highest = version
        assert self.slots.active == before.active
        assert self.slots.incoming is not None
        self.content[self.slots.incoming.slot] = None

    @precondition(lambda self: self.slots.incoming is not None and not self.slots.on_trial)
    @rule()
    def comes_in_and_is_tried(self) -> None:
        incoming = self.slots.incoming
        assert incoming is not None
        self.content[incoming.slot] = incoming.digest
        self.slots = steps.begin_trial(self.slots)

    @precondition(lambda self: self.slots.on_trial)
    @rule()
    def accept(self) -> None:
        incoming, before = self.slots.incoming, self.slots.active
        self.slots = steps.accept(self.slots, BASE)
        assert self.slots.active is not None
        assert incoming is not None
        assert (self.slots.active.slot, self.slots.active.digest) == (incoming.slot, incoming.digest)
        assert self.slots.previous == before

    @precondition(lambda self: self.slots.on_trial)
    @rule()
    def put_off(self) -> None:
        self.slots = steps.put_off(self.slots)

    @precondition(lambda self: self.slots.incoming is not None)
    @rule()
    def give_up(self) -> None:
        incoming, active = self.slots.incoming, self.slots.active
        assert incoming is not None
        self.slots = steps.give_up(self.slots, "it failed")
        self.refused.add((incoming.version, incoming.digest))
        assert self.slots.active == active
        assert steps.verdict_on(self.slots, incoming.version, incoming.digest) == "it failed"

    @precondition(lambda self: self.slots.active is not None and not self.slots.on_trial)
    @rule()
    def take_back(self) -> None:
        previous = self.slots.previous
        self.slots = steps.take_back(self.slots, "its workers ended")
        assert self.slots.active == previous

    @precondition(lambda self: not self.slots.on_trial)
    @rule()
    def agent_yaml_changes(self) -> None:
        self.slots = steps.leave(self.slots)

    @rule()
    def the_power_is_cut(self) -> None:
        before = self.slots
        self.slots = steps.recovered(before)
        assert self.slots.active == before.active
        assert not self.slots.on_trial
        if before.on_trial:
            assert self.slots.incoming is None

    @precondition(lambda self: not self.slots.on_trial)
    @rule(name=st.sampled_from("xyz"))
    def in_force_already(self, name: str) -> None:
        self.highest += 1
        self.slots = steps.confirm(self.slots, self.highest, name * 64, ())

    @invariant()
    def what_serves_is_whole_and_is_never_written_to(self) -> None:
        active, previous, incoming = self.slots.active, self.slots.previous, self.slots.incoming
        if active is not None:
            assert self.content[active.slot] == active.digest
            assert incoming is None or incoming.slot is not active.slot
        if previous is not None:
            assert active is not None
            assert previous.slot is not active.slot
            assert self.content[previous.slot] == previous.digest

    @invariant()
    def versions_only_grow(self) -> None:
        trusted = self.slots.trusted
        assert (0 if trusted is None else trusted.version) == self.highest

    @invariant()
    def a_trial_is_of_what_comes_in(self) -> None:
        trusted = self.slots.trusted
        if self.slots.on_trial:
            assert self.slots.incoming is not None
        assert (trusted is not None and trusted.outcome is Outcome.TRIAL) == self.slots.on_trial


TestSlotsMachine = SlotsMachine.TestCase
TestSlotsMachine.settings = settings(stateful_step_count=30)


def test_agent_yaml_counts_when_it_names_another_bundle() -> None:
    assert not BASE.replaced_by(BASE)
    assert BASE.replaced_by(Base("/other", BASE.sha256))
    assert BASE.replaced_by(Base(BASE.path, "1" * 64))
    assert not BASE.replaced_by(Base(BASE.path, "")), "a disk that is not mounted says nothing"
