"""The JSON Schema of a telemetry window, for consumers: shipped beside this file, written by running it."""

import json
import sys
from pathlib import Path

from tidegate.telemetry.payloads.window import KEYS, window_adapter

SHIPPED = Path(__file__).parent / "telemetry.schema.json"
# Never absent from a payload, although a window that is not sent yet has no `seq`.
_ALWAYS = ("v", "seq")


def window_schema() -> dict[str, object]:
    """What a payload on the `telemetry` topic is, as a JSON Schema (draft 2020-12)."""
    found = window_adapter().json_schema(mode="validation")
    properties = {}
    for name, key in KEYS.items():
        each = found["properties"][key]
        # A key that is unknown is absent, never null.
        known = [kind for kind in each.get("anyOf", ()) if kind != {"type": "null"}]
        kind = known[0] if len(known) == 1 else each
        facts = {fact: value for fact, value in kind.items() if fact not in {"title", "default"}}
        properties[key] = {"title": name, "description": _DESCRIPTIONS[name], **facts}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tidegate telemetry window",
        "description": "One message on tidegate/<device>/telemetry. A key that is absent is unknown.",
        "type": "object",
        "properties": properties,
        "required": [*_ALWAYS, *found["required"]],
        "$defs": found["$defs"],
    }


_DESCRIPTIONS = {
    "v": "form of the window: a key never changes its meaning within a form, new keys may come",
    "seq": "grows for ever; a number seen before is the same message again",
    "at": "Unix time of the window's end, in seconds",
    "s": "seconds that the window covers",
    "windows": "how many windows this one was made of while the broker was away; absent: 1",
    "point": "operating point at the end of the window",
    "points": "seconds at each operating point; absent: all of them at `op`",
    "risk": "certified bound of the operating point's risk; absent: not certified",
    "policy": "version of the policy in force",
    "worker": "state of the worker process",
    "restarts": "worker restarts since the agent's start",
    "switches": "switches of the operating point since the agent's start",
    "requests": "requests answered in the window",
    "failed": "requests that failed in the window",
    "turned_away": "requests refused by the policy's limits in the window",
    "samples": "samples in the requests answered",
    "p50_ms": "median latency of inference; of several windows the mean weighted by requests",
    "p95_ms": "95th percentile of the latency of inference; of several windows the largest",
    "skip": "share of blocks skipped",
    "weights_bytes": "weights resident in memory",
    "energy_j": "joules used in the window",
    "total_j": "joules used since the agent's start",
    "shadow": "by operating point: samples compared with the full model, and how many disagreed",
    "readings": "fresh readings by name, units are in `reported`; of several windows means weighted by time",
    "low": "the lowest of each reading that is a number; absent: one window",
    "high": "the highest of each reading that is a number; absent: one window",
    "models": "models beside the main one: state (`st`), operating point, requests, p95 and weights; absent: none",
}


if __name__ == "__main__":
    SHIPPED.write_text(json.dumps(window_schema(), indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{SHIPPED}\n")
