"""The agent's state as metrics: names and units by Prometheus' conventions (prometheus.io/docs/practices/naming).

What is unknown has no sample. docs/metrics.md lists them.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from tidegate.footage.kept import FootageCount, Queue
from tidegate.messages import Served
from tidegate.supervisor.metrics.served_totals import ServedTotals
from tidegate.supervisor.models.model_status import LoadState
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.telemetry.spool import SpoolCounters
from tidegate_drivers.reading import BATTERY, ENERGY, MEMORY_AVAILABLE, POWER, TEMPERATURE, Snapshot, Unit


def families(state: AgentState, totals: ServedTotals) -> Iterator[Metric]:
    """All metrics at one moment."""
    build = InfoMetricFamily("tidegate_build", "Version of the agent, model and engine")
    build.add_metric((), {"version": state.version, "model": state.model, "engine": state.engine})
    yield build
    yield from _serving(state, totals)
    if state.served is not None:
        yield from _window(state.served)
    yield from _point(state)
    yield from _models(state)
    yield from _agent(state)
    yield from _readings(state.snapshot)
    if state.footage is not None:
        yield from _footage(state.footage.count)
    if state.spool is not None:
        yield from _spool(state.spool)


def _serving(state: AgentState, totals: ServedTotals) -> Iterator[Metric]:
    yield _counter("tidegate_requests", "Requests answered", totals.requests)
    yield _counter("tidegate_requests_failed", "Requests that failed", totals.failed)
    yield _counter("tidegate_requests_turned_away", "Requests refused by the policy's limits", totals.turned_away)
    yield _counter("tidegate_samples", "Samples in the requests answered", totals.samples)
    compared = CounterMetricFamily(
        "tidegate_shadow_samples", "Samples compared with the full model", labels=("point",)
    )
    disagreed = CounterMetricFamily("tidegate_shadow_disagreements", "Of those that disagreed", labels=("point",))
    for point, (seen, wrong) in totals.shadow.items():
        compared.add_metric((point,), seen)
        disagreed.add_metric((point,), wrong)
    yield compared
    yield disagreed
    yield _counter("tidegate_switches", "Switches of the operating point", state.switches)
    yield _counter("tidegate_worker_restarts", "Restarts of the worker", state.worker_restarts)
    yield _gauge("tidegate_worker_serving", "Whether a worker answers requests", state.worker == "serving")


def _window(served: Served) -> Iterator[Metric]:
    latency = Metric("tidegate_inference_latency_seconds", "Latency in the last window", "summary")
    _add_quantiles(latency, {}, served.latency_p50_ms, served.latency_p95_ms)
    yield latency
    if served.skip_ratio is not None:
        yield _gauge("tidegate_blocks_skipped_ratio", "Share of blocks skipped", served.skip_ratio)
    yield _gauge("tidegate_weights_resident_bytes", "Weights in memory", served.weights_resident_bytes)
    if served.resident_bytes is not None:
        yield _gauge("tidegate_worker_resident_bytes", "What the worker holds in memory", served.resident_bytes)


def _point(state: AgentState) -> Iterator[Metric]:
    points = GaugeMetricFamily(
        "tidegate_operating_point", "1 for the operating point in force, 0 for the others", labels=("point",)
    )
    for point in state.ladder.points:
        points.add_metric((point.name,), point.name == state.point.name)
    yield points
    yield _gauge("tidegate_operating_point_rung", "Its rung, 0 for full", state.ladder.rung(state.point.name))
    if state.point.certified_risk is not None:
        yield _gauge("tidegate_certified_risk_ratio", "Certified bound of its risk", state.point.certified_risk)
    certified = sum(point.certified_risk is not None for point in state.ladder.points)
    yield _gauge("tidegate_points_certified", "Points with a certificate that counts here", certified)
    if state.certificate is not None:
        own = state.certificate.state == "in_force"
        yield _gauge("tidegate_own_certificate_in_force", "Whether this place's own certificate counts", own)
    yield _gauge("tidegate_operating_point_held", "Whether it is held from outside", state.held_at is not None)
    yield _gauge("tidegate_points_demoted", "Points off the ladder for disagreeing", len(state.demotions))


def _models(state: AgentState) -> Iterator[Metric]:
    """Of all models, the main one too, by their names."""
    label, by_point = ("model",), ("model", "point")
    ready = GaugeMetricFamily("tidegate_model_ready", "Whether the model answers", labels=label)
    states = GaugeMetricFamily(
        "tidegate_model_state", "1 for the state it is in, 0 for the others", labels=("model", "state")
    )
    requests = CounterMetricFamily("tidegate_model_requests", "Requests the model answered", labels=label)
    failed = CounterMetricFamily("tidegate_model_requests_failed", "Requests that failed", labels=label)
    points = GaugeMetricFamily("tidegate_model_operating_point", "1 for the point it is at", labels=by_point)
    risk = GaugeMetricFamily("tidegate_model_certified_risk_ratio", "Certified bound of its risk", labels=label)
    latency = Metric("tidegate_model_latency_seconds", "Latency in the last window", "summary")
    weights = GaugeMetricFamily("tidegate_model_weights_resident_bytes", "Weights in memory", labels=label)
    for each in state.models:
        ready.add_metric((each.name,), each.is_ready)
        for each_state in LoadState:
            states.add_metric((each.name, each_state.value), each.load_state is each_state)
        requests.add_metric((each.name,), each.requests)
        failed.add_metric((each.name,), each.failed)
        if each.point is not None:
            points.add_metric((each.name, each.point), 1)
        if each.certified_risk is not None:
            risk.add_metric((each.name,), each.certified_risk)
        _add_quantiles(latency, {"model": each.name}, each.latency_p50_ms, each.latency_p95_ms)
        if each.weights_resident_bytes is not None:
            weights.add_metric((each.name,), each.weights_resident_bytes)
    yield from (ready, states, requests, failed, points, risk, latency, weights)


def _agent(state: AgentState) -> Iterator[Metric]:
    yield _gauge("tidegate_policy_version", "Version of the policy in force", state.updates.running.policy.version)
    refused = CounterMetricFamily("tidegate_pushes_refused", "Pushes refused, by kind", labels=("kind",))
    for kind, count in state.refusals.items():
        refused.add_metric((kind.value,), count)
    yield refused
    troubles = GaugeMetricFamily("tidegate_trouble", "1 for each part that does not work", labels=("part",))
    for trouble in state.troubles:
        troubles.add_metric((trouble.part,), 1)
    yield troubles
    yield _gauge("tidegate_uptime_seconds", "Since the agent's start", state.uptime_s)
    if state.latest_step_s is not None:
        late = "By how much a decision of the last minute came late at most"
        yield _gauge("tidegate_control_step_late_seconds", late, state.latest_step_s)
    if state.link is not None:
        yield _counter("tidegate_messages_received", "Messages that came from the broker", state.received)
        heard = CounterMetricFamily(
            "tidegate_messages_heard", "What became of messages from the broker", labels=("kind", "fate")
        )
        for what, count in state.heard.items():
            heard.add_metric(what, count)
        yield heard
        yield _gauge("tidegate_broker_connected", "Whether the broker is reached", state.link.state == "online")


def _readings(snapshot: Snapshot) -> Iterator[Metric]:
    """Fresh readings; those without a metric of their own are named by a label."""
    own = {
        BATTERY: ("tidegate_battery_ratio", "Charge of the battery", 0.01),
        POWER: ("tidegate_power_watts", "Power drawn by the device", 1.0),
        TEMPERATURE: ("tidegate_temperature_celsius", "Temperature of the hottest zone", 1.0),
        MEMORY_AVAILABLE: ("tidegate_memory_available_bytes", "Memory available", 1.0),
    }
    others = GaugeMetricFamily("tidegate_reading", "Other readings, in their unit", labels=("name", "unit"))
    for name, reading in snapshot.readings.items():
        value = snapshot.number(name)
        if value is None or reading.unit is Unit.JOULE:
            continue
        if name in own:
            metric, what, scale = own[name]
            yield _gauge(metric, what, round(value * scale, 9))
        else:
            others.add_metric((name, reading.unit.value), value)
    yield others
    if (joules := snapshot.number(ENERGY)) is not None:
        yield _counter("tidegate_energy_joules", "Energy used by the device", joules)


def _footage(found: FootageCount) -> Iterator[Metric]:
    frames = GaugeMetricFamily("tidegate_footage_frames", "Frames kept on the device", labels=("queue",))
    frames.add_metric((Queue.SAMPLE.value,), found.sampled)
    frames.add_metric((Queue.DISAGREEMENTS.value,), found.disagreements)
    yield frames
    yield _gauge("tidegate_footage_bytes", "What they take on the disk", found.size_bytes)


def _spool(spool: SpoolCounters) -> Iterator[Metric]:
    yield _counter("tidegate_spool_rows_put", "Rows put into the spool", spool.put)
    yield _counter("tidegate_spool_rows_acknowledged", "Rows that the broker has", spool.acknowledged)
    yield _counter("tidegate_spool_rows_merged", "Rows that have gone into others", spool.merged)
    dropped = CounterMetricFamily("tidegate_spool_rows_dropped", "Rows given up", labels=("reason",))
    for reason, count in spool.dropped.items():
        dropped.add_metric((reason,), count)
    yield dropped
    yield _gauge("tidegate_spool_rows_waiting", "Rows that wait for the broker", spool.waiting)


def _add_quantiles(summary: Metric, labels: dict[str, str], p50_ms: float | None, p95_ms: float | None) -> None:
    """Those that are known. Latencies are not summed, and a summary may go without its sum and count."""
    for quantile, value_ms in (("0.5", p50_ms), ("0.95", p95_ms)):
        if value_ms is not None:
            summary.add_sample(summary.name, {**labels, "quantile": quantile}, value_ms / 1e3)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(name, what, value=value)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))
