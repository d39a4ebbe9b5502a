"""Pushing an envelope, and saying what its devices make of it."""

from collections.abc import Iterator, Mapping

from tidegate.cli.console import fail, out
from tidegate.errors import EX_DATAERR, EX_TEMPFAIL
from tidegate.fleet.push import GroupPushResult, PushResult, push, push_to_many
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.payloads.envelope import Target
from tidegate.trust.dsse import Envelope

NAMED = 20
"""Devices that are named, with their reasons, of those that did not take what was pushed."""


def push_and_tell(broker: Broker, envelope: Envelope, target: Target, what: str, wait_s: float) -> None:
    """Push, wait for verdicts and print them. Ends with 65 where any refused, 75 where any is silent."""
    if target.kind == "device":
        said, code = _verdict(what, push(broker, envelope, wait_s))
    else:
        said, code = _group_verdict(what, target.kind, push_to_many(broker, envelope, wait_s))
    said = _printable(said)
    if code:
        fail(said, code)
    out.print(said, markup=False, soft_wrap=True)


def _printable(said: str) -> str:
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
        parts.append(f"{len(pushed.refused)} refused: " + "; ".join(_reasons_by_device(pushed.refused)))
    if pushed.silent:
        parts.append(f"{len(pushed.silent)} silent: " + "; ".join(_reasons_by_device(pushed.silent)))
    return "\n".join(parts), EX_DATAERR if pushed.refused else EX_TEMPFAIL if pushed.silent else 0


def _reasons_by_device(reasons: Mapping[str, str]) -> Iterator[str]:
    """Each device with its reason in one line; of very many the first."""
    for name, reason in list(reasons.items())[:NAMED]:
        yield f"{name}: {' '.join(reason.split())}"
    if len(reasons) > NAMED:
        yield f"and {len(reasons) - NAMED} more"
