"""The agent's state as its status, as one telemetry window, and as its retained report. Pure."""

from dataclasses import asdict, replace

from tidegate.policy.decision import Decision
from tidegate.policy.explain import Explanation
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.status import (
    DecisionStatus,
    PolicyStatus,
    RungStatus,
    Status,
    TelemetryStatus,
    WorkerStatus,
    show_readings,
)
from tidegate.telemetry.payloads.reported import (
    FailedUpgrade,
    PolicyState,
    PolicyVerdict,
    Reported,
    ReportedKey,
)


def as_status(state: AgentState, explanation: Explanation | None) -> Status:
    """What `tidegate status` and the live view show; the explanation is of the next decision."""
    return Status(
        device=state.device,
        version=state.version,
        uptime_s=round(state.uptime_s, 1),
        model=state.model,
        engine=state.engine,
        point=state.point.name,
        certified_risk=state.point.certified_risk,
        switches=state.switches,
        policy_pushes_applied=state.updates.accepted,
        policy=_policy(state),
        decision=None if state.decision is None else _decision(state.decision),
        ladder=_rungs(state),
        readings=show_readings(state.snapshot),
        worker=_worker(state),
        telemetry=_telemetry(state),
        served=state.served,
        explanation=explanation,
        demotions=state.demotions,
        troubles=state.troubles,
        allow_unsigned=state.allow_unsigned,
        keys=_keys(state),
        refusals={kind.value: count for kind, count in state.updates.refusals.items()},
        recent=tuple(event.document() for event in state.recent),
    )


def as_telemetry(state: AgentState) -> dict[str, object]:
    """One window as it is spooled for the `telemetry` topic."""
    return {
        "at": state.at,
        "operating_point": state.point.name,
        "certified_risk": state.point.certified_risk,
        "policy": {name: value for name, value in asdict(_policy(state)).items() if name != "signed_by"},
        "readings": {name: asdict(reading) for name, reading in show_readings(state.snapshot).items()},
        "served": None if state.served is None else asdict(state.served),
        "worker": asdict(_worker(state)),
    }


def as_reported(state: AgentState) -> Reported:
    """What is retained on the `reported` topic; equal as long as there is nothing new to retain."""
    updates = state.updates
    running, policy, refused = updates.running, updates.running.policy, updates.refused
    failed = state.failed_upgrade
    verdict: PolicyVerdict = "trial" if updates.on_trial else "accepted"
    if refused is not None:
        refused = replace(refused, push_id=updates.push_id(refused.version, refused.hash))
    return Reported(
        agent_version=state.version,
        policy=PolicyState(
            policy.version,
            running.digest,
            verdict,
            "",
            policy.name,
            updates.push_id(policy.version, running.digest),
        ),
        refused=refused,
        bundle=state.bundle,
        operating_point=state.point.name,
        certified_risk=state.point.certified_risk,
        demoted=tuple(demotion.point for demotion in state.demotions),
        groups=state.groups,
        failed_upgrade=None
        if failed is None
        else FailedUpgrade(failed.version, failed.at, failed.reason, failed.last_words),
        keys=_keys(state),
        allow_unsigned=state.allow_unsigned,
        verdicts=updates.verdicts,
        key_rotation=state.key_rotation,
    )


def _policy(state: AgentState) -> PolicyStatus:
    running = state.updates.running
    return PolicyStatus(
        running.policy.name, running.policy.version, running.digest, running.origin, running.signed_by
    )


def _keys(state: AgentState) -> tuple[ReportedKey, ...]:
    return tuple(
        ReportedKey(each.name, each.key.keyid, tuple(sorted(each.roles))) for each in state.trusted_keys.keys
    )


def _decision(decision: Decision) -> DecisionStatus:
    return DecisionStatus(decision.wanted, decision.rule, decision.reason, decision.fits, decision.held_back)


def _rungs(state: AgentState) -> tuple[RungStatus, ...]:
    return tuple(
        RungStatus(
            point.name,
            point.certified_risk,
            point.figures.accuracy,
            point.figures.latency_p50_ms,
            state.refused.get(point.name, ""),
        )
        for point in state.ladder.points
    )


def _worker(state: AgentState) -> WorkerStatus:
    return WorkerStatus(state.worker, state.worker_pid, state.worker_restarts)


def _telemetry(state: AgentState) -> TelemetryStatus:
    spool, link = state.spool, state.link
    return TelemetryStatus(
        link="no broker configured" if link is None else link.state,
        broker=state.broker,
        spooled=None if spool is None else spool.put,
        published=None if spool is None else spool.acknowledged,
        waiting=None if spool is None else spool.waiting,
        dropped=None if spool is None else dict(spool.dropped),
        reason="" if link is None else link.reason,
        since=None if link is None or not link.since else link.since,
        in_memory=None if spool is None else spool.in_memory,
    )
