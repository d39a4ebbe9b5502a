"""`tidegate policy sign`: sign a policy where the key is, for somebody else to push."""

from tidegate.cli.envelope_output import OutputOption, write_envelope
from tidegate.cli.policy_envelope import (
    DeviceOption,
    EnvelopeOptionError,
    ExpiresOption,
    FleetOption,
    GroupOption,
    PolicyOrEnvelope,
    WhenOption,
    read_pushed,
    target_of,
)
from tidegate.cli.policy_options import BoardOption
from tidegate.cli.signers import KeyOption


def sign_command(
    file: PolicyOrEnvelope,
    key: KeyOption = None,
    board: BoardOption = None,
    device: DeviceOption = None,
    group: GroupOption = None,
    fleet: FleetOption = False,
    expires: ExpiresOption = None,
    when: WhenOption = None,
    output: OutputOption = None,
) -> None:
    """Sign a policy for its target, without a broker; `policy push` takes the envelope that comes out.

    Given such an envelope, it adds a signature.
    """
    if not key:
        raise EnvelopeOptionError(
            "name the private key to sign with: --key FILE; `tidegate key new NAME` makes one"
        )
    pushed = read_pushed(file, board, target_of(device, group, fleet=fleet), key, expires, when)
    write_envelope(pushed.envelope, output, f"{pushed.what} for {pushed.target.topic}")
