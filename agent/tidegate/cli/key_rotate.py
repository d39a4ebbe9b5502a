"""`tidegate key rotate`: replace the keys that devices trust, by a message that the old and the new ones sign."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.broker_option import (
    BrokerOption,
    CaOption,
    PasswordFileOption,
    UsernameOption,
    WaitOption,
    broker_of,
)
from tidegate.cli.policy_envelope import (
    DeviceOption,
    EnvelopeOptionError,
    ExpiresOption,
    FleetOption,
    GroupOption,
    expiry,
    target_of,
)
from tidegate.cli.push_verdict import push_and_tell
from tidegate.cli.signers import KeyOption, signers
from tidegate.config import KeysFile, trusted_keys
from tidegate.documents import load, read
from tidegate.telemetry.payloads.keys_envelope import seal_keys
from tidegate.trust.trusted_keys import NotSigned, Role


def rotate_command(
    file: Annotated[Path, typer.Argument(help="YAML: version, trusted_keys, signature_thresholds.")],
    key: KeyOption = None,
    device: DeviceOption = None,
    group: GroupOption = None,
    fleet: FleetOption = False,
    expires: ExpiresOption = None,
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
    wait_s: WaitOption = 30.0,
) -> None:
    """Replace the keys that devices trust. Old and new keys with the role key_rotation have to sign: --key each.

    Ends with 0 when all took it, 65 when any refused, 75 when any said nothing in time.
    """
    target = target_of(device, group, fleet=fleet)
    if target is None:
        raise EnvelopeOptionError("name exactly one of --device ID, --group NAME and --fleet")
    wanted = load(read(file), str(file), KeysFile)
    keys = trusted_keys(wanted)
    envelope = seal_keys(keys, wanted.version, target, expiry(expires), signers(key or ()))
    judged = keys.judge(envelope, Role.KEY_ROTATION)
    if isinstance(judged, NotSigned):
        raise EnvelopeOptionError(
            f"{file}: no device would take it, because nobody could rotate these keys again: {judged.reason}; "
            "give the role key_rotation to a key in the file, and sign with it as well: --key FILE"
        )
    what = f"trusted keys version {wanted.version}"
    push_and_tell(broker_of(broker, username, password_file, ca), envelope, target, what, wait_s)
