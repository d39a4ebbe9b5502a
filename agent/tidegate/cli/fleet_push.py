"""`tidegate fleet push`: a policy or a bundle to a few devices first, then to more."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.broker_option import BrokerOption, CaOption, PasswordFileOption, UsernameOption, broker_of
from tidegate.cli.console import err, fail, out
from tidegate.cli.policy_envelope import (
    EnvelopeOptionError,
    ExpiresOption,
    FleetOption,
    GroupOption,
    WhenOption,
    expiry,
    target_of,
)
from tidegate.cli.policy_options import read_policy
from tidegate.cli.push_verdict import devices_by_reason, printable
from tidegate.cli.signers import KeyOption, signers
from tidegate.errors import BY_SIGINT, EX_DATAERR
from tidegate.fleet.bundle_content import content_of, push_of
from tidegate.fleet.push import push
from tidegate.fleet.rollout.abort_expression import parse_rule
from tidegate.fleet.rollout.abort_rule import DEFAULT, Fared
from tidegate.fleet.rollout.rollout import Plan, Pushable, Rollout
from tidegate.fleet.rollout.rollout_state import RolloutState
from tidegate.models.bundle import open_bundle
from tidegate.policy.push_condition import read_condition
from tidegate.quantities.counted import counted
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.payloads.bundle_envelope import is_address, seal_bundle
from tidegate.telemetry.payloads.envelope import Target, policy_hash, seal
from tidegate.trust.dsse import Envelope
from tidegate.trust.signer import Signer

What = Annotated[Path, typer.Argument(help="A policy, YAML, or the directory of a bundle.")]
VersionOption = Annotated[
    int | None, typer.Option("--version", min=1, help="Of a bundle; above that of the last push.")
]
BackOption = Annotated[
    Path | None,
    typer.Option(
        "--back-to",
        help="What those that took it get when it is halted: a policy with a higher version, "
        "or a bundle, whose version is one more.",
    ),
]
_NOT_TAKEN = ("refused", "rolled_back", "silent")
ABORT_HELP = "Limits on how devices fare, with commas between."


def push_command(
    what: What,
    group: GroupOption = None,
    fleet: FleetOption = False,
    key: KeyOption = None,
    canary: Annotated[str, typer.Option(help="The share of devices that comes first.")] = "5%",
    then: Annotated[str, typer.Option(help="The shares after it, the last being 100%.")] = "25%,100%",
    abort_if: Annotated[str, typer.Option("--abort-if", help=ABORT_HELP)] = DEFAULT,
    back_to: BackOption = None,
    version: VersionOption = None,
    source: Annotated[str | None, typer.Option("--from", help="As for `bundle push`.")] = None,
    when: WhenOption = None,
    expires: ExpiresOption = None,
    answer_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait for a stage's verdicts.")
    ] = 600,
    soak_s: Annotated[
        float, typer.Option("--soak", min=0, help="Seconds to look on before the next stage.")
    ] = 600,
    compare_s: Annotated[
        float,
        typer.Option("--compare-for", min=0, help="Seconds at the most until enough answers are compared."),
    ] = 3600,
    before_s: Annotated[
        float,
        typer.Option("--before", min=0, help="Seconds at the most for what a limit calls `before`."),
    ] = 180,
    instead: Annotated[
        bool, typer.Option("--instead", help="End another rollout that is under way there.")
    ] = False,
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
) -> None:
    """Push in stages, look how devices fare, and halt by itself. Said again, it goes on where it was.

    Ends with 0 when all stages are behind it, 65 when it was halted.
    """
    target = target_of(None, group, fleet=fleet)
    if target is None or not key:
        raise EnvelopeOptionError(
            "name one of --group NAME and --fleet, and --key FILE: a rollout's state is signed"
        )
    plan = Plan(_shares(f"{canary},{then}"), parse_rule(abort_if), answer_s, soak_s, compare_s, before_s, instead)
    if when is not None:
        read_condition(when, "--when")
    if source is not None and not is_address(source):
        raise EnvelopeOptionError(f"--from: found {source!r}, allowed is http://HOST/... or https://HOST/...")
    private = signers(key)
    pushable = _pushable(what, version, private, source or "", when or "", expires)
    way_back = (
        None if back_to is None else _pushable(back_to, pushable.version + 1, private, source or "", "", None)
    )
    if way_back is not None and way_back.version <= pushable.version:
        raise EnvelopeOptionError(
            f"{back_to}: found version {way_back.version}, allowed is one above {pushable.version}"
        )
    address = broker_of(broker, username, password_file, ca)
    rollout = Rollout(address, target, pushable, private, _tell)
    try:
        state = rollout.run(plan)
    except KeyboardInterrupt:
        fail("stopped; nothing is undone: say the same again to go on, here or at another desk", BY_SIGINT)
    devices = sum(map(len, state.stages))
    if state.state == "halted":
        said = f"{state.what}: halted in stage {state.stage + 1} of {len(state.stages)}: {state.reason}"
        unknown = [f"not judged: {each}" for each in state.unknown]
        told = (said, *unknown, *_lead_back(address, rollout, state, way_back))
        fail(printable("\n".join(told)), EX_DATAERR)
    for each in state.unknown:
        _tell(f"not judged: {each}")
    lines, code = _rolled_out(state.what, devices, rollout.fared)
    if code:
        fail(printable("\n".join(lines)), code)
    out.say(printable("\n".join(lines)))


def _rolled_out(what: str, devices: int, fared: Fared | None) -> tuple[list[str], int]:
    """How a rollout ended that no limit halted, and the exit code; `fared` is None where it was over before."""
    if fared is None:
        return [f"{what}: rolled out to {counted(devices, 'device')}"], 0
    missed = {name: dict(sorted(fared.counted.get(name, {}).items())) for name in _NOT_TAKEN}
    lines = [f"{what}: rolled out; {devices - sum(map(len, missed.values()))} of {devices} took it"]
    for name, reasons in missed.items():
        if reasons:
            lines += [f"{len(reasons)} {name.replace('_', ' ')}:", *devices_by_reason(reasons)]
    return lines, EX_DATAERR if missed["refused"] or missed["rolled_back"] else 0


def _lead_back(broker: Broker, rollout: Rollout, state: RolloutState, way_back: Pushable | None) -> list[str]:
    took = rollout.took_it(state)
    if not took:
        return ["no device runs it"]
    if way_back is None:
        return [f"{len(took)} run it: {', '.join(took)}; give --back-to FILE to lead them back"]
    told = []
    for name in took:
        result = push(broker, way_back.envelope(Target("device", name)), 60.0, way_back.content)
        told.append(f"{name}: {way_back.what} {result.outcome.replace('_', ' ')} {result.reason}".rstrip())
    return told


def _tell(said: str) -> None:
    err.say(printable(said))


def _pushable(
    what: Path, version: int | None, keys: Sequence[Signer], source: str, when: str, expires: str | None
) -> Pushable:
    until = expiry(expires)
    if not what.is_dir():
        document, layered = read_policy(what, None)
        name, number = layered.policy.name, layered.policy.version

        def of_policy(target: Target) -> Envelope:
            return seal(document.text, number, target, until, keys, when)

        digest = policy_hash(document.text)
        return Pushable(f"{name} version {number}", number, digest, of_policy, lambda target: target.topic)
    if version is None:
        raise EnvelopeOptionError(f"{what}: name its --version; said again with that one, it goes on")
    bundle, content = open_bundle(what), content_of(what)

    def of_bundle(target: Target) -> Envelope:
        return seal_bundle(push_of(bundle, content, version, target, until, source, when), bundle.model, keys)

    what_it_is = f"{bundle.model} version {version}"
    return Pushable(what_it_is, version, bundle.sha256, of_bundle, _bundle_topic, content, "bundle")


def _bundle_topic(target: Target) -> str:
    return target.bundle_topic


def _shares(text: str) -> tuple[float, ...]:
    """The shares in `5%,25%,100%`. Raises EnvelopeOptionError."""
    try:
        shares = tuple(float(part.strip().removesuffix("%")) / 100 for part in text.split(","))
    except ValueError:
        shares = ()
    if not shares or list(shares) != sorted(set(shares)) or shares[0] <= 0 or shares[-1] != 1:
        raise EnvelopeOptionError(
            f"--canary and --then: found {text!r}, allowed are percentages that grow to 100%, such as 5% and "
            "25%,100%"
        )
    return shares
