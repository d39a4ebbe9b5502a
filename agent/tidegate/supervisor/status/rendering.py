"""The agent's state as its status, as one telemetry window, and as its retained report. Pure."""

from dataclasses import replace
from datetime import UTC, datetime

from tidegate.policy.decision import Decision
from tidegate.policy.explain import Explanation
from tidegate.shortened import shortened
from tidegate.supervisor.models.model_status import ModelStatus
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.status import (
    BundleStatus,
    DecisionStatus,
    FootageStatus,
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
    ReadingReport,
    Reported,
    ReportedKey,
    ReportedModel,
    UnavailableReading,
)
from tidegate.telemetry.payloads.window import ModelWindow, Window
from tidegate_drivers.reading import ENERGY, Freshness, Snapshot, Unit

READING_REASON_LIMIT = 200
"""Characters of why a reading can't be had, in the retained report: there are dozens of them."""


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
        refusals={kind.value: count for kind, count in state.refusals.items()},
        recent=tuple(event.document() for event in state.recent),
        held_at=state.held_at,
        bundle=_bundle(state),
        received=state.received,
        heard={f"{kind} {fate}": count for (kind, fate), count in state.heard.items()},
        latest_step_s=state.latest_step_s,
        web_address=state.web_address,
        exposure=state.exposure,
        models=state.models,
        footage=_footage(state),
        certificate=state.certificate,
    )


def as_telemetry(state: AgentState, window_s: float, energy_j: float | None) -> Window:
    """One window of `window_s` seconds for the `telemetry` topic; `energy_j` is what it took, None if unknown."""
    served, snapshot = state.served, state.snapshot
    shadow = () if served is None else served.shadow
    total_j = snapshot.number(ENERGY)
    return Window(
        at=round(state.at, 1),
        s=round(window_s, 1),
        point=state.point.name,
        policy=state.updates.running.policy.version,
        worker=state.worker,
        restarts=state.worker_restarts,
        switches=state.switches,
        risk=state.point.certified_risk,
        requests=None if served is None else served.requests,
        failed=None if served is None else served.failed,
        turned_away=None if served is None else served.turned_away,
        samples=None if served is None else served.samples,
        p50_ms=None if served is None else _short(served.latency_p50_ms),
        p95_ms=None if served is None else _short(served.latency_p95_ms),
        skip=None if served is None else _short(served.skip_ratio),
        weights_bytes=None if served is None else served.weights_resident_bytes,
        energy_j=None if energy_j is None else round(energy_j, 1),
        total_j=None if total_j is None else round(total_j, 1),
        shadow={each.point: (each.seen, each.disagreed) for each in shadow},
        readings=_known_readings(snapshot),
        models={each.name: _model_window(each) for each in state.models if not each.main},
    )


def _model_window(model: ModelStatus) -> ModelWindow:
    return ModelWindow(
        state=model.state,
        point=model.point,
        requests=model.window_requests,
        p95_ms=_short(model.latency_p95_ms),
        weights_bytes=model.weights_resident_bytes,
    )


def _known_readings(snapshot: Snapshot) -> dict[str, float | str]:
    """The fresh readings, without counters of joules: those are summed up in the window itself."""
    readings: dict[str, float | str] = {}
    for name, reading in snapshot.readings.items():
        if reading.unit is Unit.JOULE or snapshot.freshness(name) is not Freshness.FRESH:
            continue
        value = reading.value if isinstance(reading.value, str) else _short(reading.value)
        if value is not None:
            readings[name] = value
    return readings


def _short(value: float | None) -> float | None:
    """Four digits: finer than any sensor here is accurate."""
    return None if value is None else float(f"{value:.4g}")


def described_readings(snapshot: Snapshot) -> tuple[tuple[ReadingReport, ...], tuple[UnavailableReading, ...]]:
    """What the names in telemetry windows stand for, and why the other readings can't be had."""
    known, unavailable = [], []
    for name, reading in snapshot.readings.items():
        if reading.value is None:
            unavailable.append(UnavailableReading(name, shortened(reading.reason, READING_REASON_LIMIT)))
        elif reading.unit is not Unit.JOULE:
            known.append(ReadingReport(name, reading.unit, reading.provenance, reading.source))
    return tuple(known), tuple(unavailable)


def as_reported(state: AgentState, described: Snapshot) -> Reported:
    """What is retained on the `reported` topic; equal as long as there is nothing new to retain.

    `described` is the snapshot whose readings it says the units and sources of.
    """
    readings, unavailable = described_readings(described)
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
        upgrading_from=state.upgrading_from,
        keys=_keys(state),
        allow_unsigned=state.allow_unsigned,
        verdicts=updates.verdicts,
        key_rotation=state.key_rotation,
        certificate_push=state.certificate_push,
        readings=readings,
        unavailable=unavailable,
        held_at=state.held_at,
        bundle_push=state.bundles.push,
        bundle_refused=state.bundles.refused,
        bundle_verdicts=state.bundles.verdicts,
        compared=state.compared,
        keeps_footage=state.keeps_footage,
        certificate=state.certificate,
        models=tuple(_reported_model(each) for each in state.models if not each.main),
    )


def _reported_model(model: ModelStatus) -> ReportedModel:
    reason = ""
    if not model.is_ready:
        # What to do is short, and of more use than the end of a long reason.
        reason = replace(model, reason=shortened(model.reason, READING_REASON_LIMIT)).why
    return ReportedModel(model.name, model.load_state.value, model.bundle or None, model.point, reason)


def _footage(state: AgentState) -> FootageStatus | None:
    footage = state.footage
    if footage is None:
        return None
    found = footage.count
    return FootageStatus(
        found.sampled,
        found.disagreements,
        found.size_bytes,
        _day_of(found.oldest_at),
        _day_of(found.newest_at),
        footage.max_bytes,
        footage.max_age_s,
        footage.clip_s,
        str(footage.directory),
    )


def _day_of(at_s: int | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def _policy(state: AgentState) -> PolicyStatus:
    running = state.updates.running
    return PolicyStatus(
        running.policy.name, running.policy.version, running.digest, running.origin, running.signed_by
    )


def _bundle(state: AgentState) -> BundleStatus:
    pushed, coming = state.bundle_push, state.bundles.push
    doing = f"version {coming.version}: {coming.reason}" if coming is not None and coming.state == "trial" else ""
    if pushed is None:
        return BundleStatus(state.bundle, state.bundle_path, "local", coming=doing)
    return BundleStatus(state.bundle, state.bundle_path, "pushed", pushed.version, pushed.signed_by, doing)


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
        merged=None if spool is None else spool.merged,
        data_left_bytes=state.data_left_bytes,
    )
