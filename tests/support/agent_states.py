"""Made-up moments of an agent: one at which much is known, and one at which little is."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tidegate.footage.kept import FootageCount
from tidegate.last_trial import failed
from tidegate.messages import Served, ShadowCount
from tidegate.models.ladder import Certificate, Figures, Ladder, OperatingPoint, Risk
from tidegate.policy.decision import ControlState, Decision
from tidegate.policy.explain import ControlExplained, Explanation, RuleExplained, RuleState
from tidegate.policy.schema import load_policy
from tidegate.supervisor.bundles.progress import BundleProgress
from tidegate.supervisor.bundles.slots import Base, Placed, Slot
from tidegate.supervisor.control.drift_record import Demotion
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.footage_watch import FootageState
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.troubles import Trouble
from tidegate.supervisor.updates.pushed_policy import Running
from tidegate.supervisor.updates.state import UpdatesState
from tidegate.supervisor.worker.process import WorkerState
from tidegate.telemetry.link.link import LinkState
from tidegate.telemetry.payloads.reported import (
    CertifiedPoint,
    ComparedPoint,
    PolicyState,
    Recount,
    ReportedCertificate,
)
from tidegate.telemetry.spool import SpoolCounters
from tidegate.trust.keys import PrivateKey
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit


def point(name: str, alpha: float | None, latency_ms: float) -> OperatingPoint:
    certificate = None if alpha is None else Certificate(Risk.NEWLY_WRONG, alpha, 0.05, 1000, 2)
    return OperatingPoint(
        name, "onnx", Figures(400, 0.98, 0.0, 0.01, 0.0, 1.0, latency_ms, 2 * latency_ms, 4096), certificate
    )


LADDER = Ladder(
    (point("full", 0.0, 4.0), point("int8", 0.01, 2.0), point("foreign", 0.02, 1.5), point("skip", None, 1.0))
)
POINT = LADDER.points[1].name
POLICY = load_policy("tidegate: 1\nname: field\nversion: 7\nmax_accuracy_loss: 5 %\n", "field.yaml")
RUNNING = Running(POLICY, "ab" * 32, "pushed", ("ops",))
REFUSED = PolicyState(8, "cd" * 32, "rolled_back", "the worker stopped answering: no answer", "pushed-8")
DECISION = Decision(
    POINT,
    LADDER.points[-1].name,
    "battery low",
    True,
    False,
    "battery 12 %",
    ("not below dwell",),
    ControlState(POINT),
)
EXPLANATION = Explanation(
    POINT,
    LADDER.points[-1].name,
    "battery low",
    "battery 12 %",
    ("not below dwell",),
    (RuleExplained("battery low", RuleState.IN_FORCE, "battery 12 %", ("battery above 25 %",)),),
    (ControlExplained("governor", "powersave", "agent.yaml does not list it"),),
    {LADDER.points[2].name: "another engine's"},
    ("It runs there.",),
)
SNAPSHOT = Snapshot(
    100.0,
    {
        "battery": Reading(12.0, Unit.PERCENT, 99.0, Provenance.MEASURED, "power_supply/BAT0"),
        "temperature": Reading(61.5, Unit.CELSIUS, 1.0, Provenance.ESTIMATED, "thermal/cpu"),
        "power": Reading(None, Unit.WATT, 99.0, Provenance.UNAVAILABLE, "rapl", reason="may not be read"),
    },
)
SERVED = Served(3, 2.0, 20, 1, 21, 1.5, 2.5, 0.25, 4096, 2, (ShadowCount(POINT, 5, 1),))
COUNTERS = SpoolCounters(40, 30, {"age": 2, "bytes": 1}, 7, 700, 3)
LINK = LinkState("offline", "127.0.0.1:1883: refused", 1_800_000_000.0)
DEMOTION = Demotion(LADDER.points[3].name, "2027-06-01T00:00:00+00:00", "disagreed")
TROUBLES = (Trouble("broker", "2027-06-01T00:00:00+00:00", "127.0.0.1:1883: refused"),)
RECENT = (
    Event(EventKind.WORKER, "worker 7 ended", {"pid": 7}, datetime(2027, 6, 1, tzinfo=UTC)),
    Event(
        EventKind.SWITCH,
        "full → lower",
        {"from": "full", "prepare_ms": 1.5},
        datetime(2027, 6, 1, 1, tzinfo=UTC),
        "x",
    ),
)

BUSY = AgentState(
    at=1_800_000_100.5,
    uptime_s=50.04,
    version="9.9.9",
    device="gate-7",
    groups=("north", "field"),
    model="digits",
    bundle="ef" * 32,
    ladder=LADDER,
    engine="onnx",
    point=LADDER.points[1],
    refused={LADDER.points[2].name: "another engine's"},
    worker=WorkerState.SERVING,
    worker_pid=4242,
    worker_restarts=3,
    switches=9,
    updates=UpdatesState(
        RUNNING,
        on_trial=True,
        refused=REFUSED,
        accepted=4,
        results=1,
        refusals={Refusal.EXPIRED: 2},
        push_ids={(POLICY.version, "ab" * 32): "a7", (8, "cd" * 32): "c8"},
    ),
    trusted_keys=TrustedKeys(
        (TrustedKey("ops", PrivateKey(bytes(32)).public, frozenset({Role.POLICY, Role.KEY_ROTATION})),)
    ),
    key_rotation=None,
    allow_unsigned=True,
    decision=DECISION,
    snapshot=SNAPSHOT,
    served=SERVED,
    broker="127.0.0.1:1883",
    link=LINK,
    spool=COUNTERS,
    demotions=(DEMOTION,),
    troubles=TROUBLES,
    recent=RECENT,
    failed_upgrade=failed("versions/2", "2027-06-01T00:00:00+00:00", "canary 3 got no answer", "the end"),
    bundle_path="/var/lib/tidegate/bundles/a",
    bundle_push=Placed(Slot.A, "ef" * 32, 5, ("models",), Base("/srv/digits", "0" * 64)),
    compared=(ComparedPoint("int8", 800, 3, 0.02),),
    bundles=BundleProgress(
        PolicyState(6, "aa" * 32, "trial", "it is taken in", "", "b6"), refusals={Refusal.EXPIRED: 1}
    ),
    footage=FootageState(
        Path("/var/lib/tidegate/footage"),
        FootageCount(812, 31, 46_137_344, 1_799_000_000, 1_800_000_000),
        64 << 20,
        2_592_000.0,
        60.0,
    ),
    keeps_footage=True,
    certificate=ReportedCertificate(
        "in_force",
        signed_by=("yard",),
        keyids=("ab" * 32,),
        data="footage of 2027-01-01 to 2027-01-31",
        inputs=812,
        clip=1,
        labelled=31,
        delta=0.05,
        counted_at="2027-01-31T12:00:00+00:00",
        placement="onnx on cpu, onnxruntime 1.26.0, debian 12",
        here="onnx on cpu, onnxruntime 1.27.0, debian 12",
        points=(CertifiedPoint("full", 0.0, 812, 0), CertifiedPoint("int8", 0.01, 812, 2)),
        recount=Recount("holds", "onnx on cpu, onnxruntime 1.27.0, debian 12", "it holds", "2027-02-01", 812),
    ),
)
BARE = replace(
    BUSY,
    refused={},
    worker=WorkerState.DOWN,
    worker_pid=None,
    updates=UpdatesState(RUNNING, accepted=4, results=1),
    decision=None,
    snapshot=Snapshot(100.0, {}),
    served=None,
    broker=None,
    link=None,
    spool=None,
    demotions=(),
    troubles=(),
    bundle_path="/srv/digits",
    bundle_push=None,
    bundles=BundleProgress(),
    footage=None,
    keeps_footage=False,
    certificate=None,
)
