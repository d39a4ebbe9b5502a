"""Pushing an envelope, and saying what its devices make of it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import typer

from tidegate.cli.console import err, fail, out, waiting
from tidegate.cli.json_option import write_json
from tidegate.errors import EX_DATAERR, EX_TEMPFAIL
from tidegate.fleet.bundle_content import BundleContent
from tidegate.fleet.push import GroupPushResult, PushResult, push, push_to_many
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.payloads.envelope import Target
from tidegate.trust.dsse import Envelope

NAMED = 20
"""Devices that are named, with their reasons, of those that did not take what was pushed."""


def push_and_tell(
    broker: Broker,
    envelope: Envelope,
    target: Target,
    what: str,
    wait_s: float,
    content: BundleContent | None = None,
    *,
    as_json: bool = False,
) -> None:
    """Push, wait for verdicts and print them, and meanwhile how far content is that takes its time.

    Ends with 65 where any refused, 75 where any is silent.
    """

    def tell(said: str) -> None:
        if content is not None:
            err.say(printable(said))

    result: PushResult | GroupPushResult
    with waiting(f"waiting for what the {target.kind} makes of it"):
        if target.kind == "device":
            result = push(broker, envelope, wait_s, content, tell)
            said, code = _verdict(what, result)
        else:
            result = push_to_many(broker, envelope, wait_s, content, tell)
            said, code = _group_verdict(what, target.kind, result)
    if as_json:
        write_json(asdict(result))
        raise typer.Exit(code)
    said = printable(said)
    if code:
        fail(said, code)
    out.say(said)


def printable(said: str) -> str:
    """Without what moves a cursor: names, states and reasons come from whoever may publish at the broker."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in said)


def _verdict(what: str, result: PushResult) -> tuple[str, int]:
    """What one device made of it, and the exit code."""
    said = f"{what} {result.outcome.replace('_', ' ')} after {result.waited_s:.1f} s"
    said += f": {result.reason}" if result.reason else ""
    return said, {"accepted": 0, "no_answer": EX_TEMPFAIL}.get(result.outcome, EX_DATAERR)


def _group_verdict(what: str, kind: str, pushed: GroupPushResult) -> tuple[str, int]:
    """What many made of it, and the exit code."""
    asked = len(pushed.accepted) + len(pushed.refused) + len(pushed.silent)
    if not asked:
        said = f"{what}: retained; no device of this {kind} has been seen here; it waits for those to come"
        return said, EX_TEMPFAIL
    parts = [f"{what}: {len(pushed.accepted)} of {asked} took it after {pushed.waited_s:.1f} s"]
    if pushed.refused:
        parts += [f"{len(pushed.refused)} refused:", *devices_by_reason(pushed.refused)]
    if pushed.silent:
        parts += [f"{len(pushed.silent)} silent:", *devices_by_reason(pushed.silent)]
    return "\n".join(parts), EX_DATAERR if pushed.refused else EX_TEMPFAIL if pushed.silent else 0


def devices_by_reason(reasons: Mapping[str, str]) -> Iterator[str]:
    """A line for each reason with the devices that gave it, the one of most first; of very many the first."""
    devices: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        devices.setdefault(" ".join(reason.split()), []).append(name)
    left = NAMED
    for reason, names in sorted(devices.items(), key=lambda each: -len(each[1])):
        if left <= 0:
            break
        more = f" and {len(names) - left} more" if len(names) > left else ""
        yield f"  {', '.join(names[:left])}{more}: {reason}"
        left -= len(names)
    if left < 0 or len(reasons) > NAMED:
        yield f"  {NAMED} of {len(reasons)} are named; `tidegate fleet status` shows all"
