"""`tidegate policy push`: push a policy, and say what its devices make of it."""

from tidegate.cli.broker_option import (
    BrokerOption,
    CaOption,
    PasswordFileOption,
    UsernameOption,
    WaitOption,
    broker_of,
)
from tidegate.cli.json_option import JsonOption
from tidegate.cli.policy_envelope import (
    DeviceOption,
    ExpiresOption,
    FleetOption,
    GroupOption,
    PolicyOrEnvelope,
    WhenOption,
    read_pushed,
    target_of,
)
from tidegate.cli.policy_options import BoardOption
from tidegate.cli.push_verdict import push_and_tell
from tidegate.cli.signers import KeyOption


def push_command(
    file: PolicyOrEnvelope,
    board: BoardOption = None,
    device: DeviceOption = None,
    group: GroupOption = None,
    fleet: FleetOption = False,
    key: KeyOption = None,
    expires: ExpiresOption = None,
    when: WhenOption = None,
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
    wait_s: WaitOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Push a policy to a device, a group or the fleet, and say what the devices made of it.

    With --key it is signed, as devices want it that do not allow unsigned policies.
    Ends with 0 when all took it, 65 when any refused, 75 when any said nothing in time.
    """
    pushed = read_pushed(file, board, target_of(device, group, fleet=fleet), key or (), expires, when)
    address = broker_of(broker, username, password_file, ca)
    push_and_tell(address, pushed.envelope, pushed.target, pushed.what, wait_s, as_json=as_json)
