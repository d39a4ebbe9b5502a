"""Whose pushes this device takes: for each role the keys that may sign, and what a role without one means."""

from collections.abc import Iterator

from tidegate.cli.checks.check import Check
from tidegate.config import AgentConfig, trusted_keys
from tidegate.supervisor.updates.key_rotation import rotation_in_force
from tidegate.trust.trusted_keys import Role, TrustedKeys

_PLURAL = {
    Role.POLICY: "policies",
    Role.BUNDLE: "bundles",
    Role.KEY_ROTATION: "other trusted keys",
    Role.CERTIFICATE: "certificates",
}


def check_signers(config: AgentConfig) -> Iterator[Check]:
    """Keys have no expiry of their own; a threshold above the number of keys is a fault of agent.yaml itself."""
    keys = trusted_keys(config)
    rotation = rotation_in_force(config.state_dir, keys)
    if rotation is not None:
        keys = rotation[1]
    since = "" if rotation is None else f", as rotated over MQTT (version {rotation[0]})"
    if config.allow_unsigned:
        said = "allow_unsigned: whoever may publish at the broker may set this device's policy"
        yield Check(
            "keys", "warning", said, "trust a key (tidegate key trust FILE.pub), and take it out of agent.yaml"
        )
    for role in Role:
        if keys.with_role(role):
            if not (role is Role.POLICY and config.allow_unsigned):
                yield Check(
                    "keys", "ok", f"{_PLURAL[role]} are taken that are signed by {_who(keys, role)}{since}"
                )
            yield from _no_spare(keys, role)
        elif not (role is Role.POLICY and config.allow_unsigned):
            yield from _nobody(config, keys, role)


def _who(keys: TrustedKeys, role: Role) -> str:
    names, needed = [entry.name for entry in keys.with_role(role)], keys.threshold(role)
    return f"{needed} of {', '.join(names)}" if needed > 1 else " or ".join(names)


def _no_spare(keys: TrustedKeys, role: Role) -> Iterator[Check]:
    """Where all keys have to sign, a lost one is the end of it; who loses one alone, rotates it away."""
    having, needed = len(keys.with_role(role)), keys.threshold(role)
    if role is Role.KEY_ROTATION and having == needed > 1:
        said = f"other trusted keys need all {needed} signers: with one key lost they can be replaced here alone"
        yield Check("keys", "warning", said, "trust one more: tidegate key trust FILE.pub --role key_rotation")


def _nobody(config: AgentConfig, keys: TrustedKeys, role: Role) -> Iterator[Check]:
    """Expected where nothing in agent.yaml speaks of such pushes, and a mistake where something does."""
    if role is Role.CERTIFICATE or config.broker is None:
        return  # the one that agent.yaml names is looked at by itself
    option = "" if role is Role.POLICY else f" --role {role}"
    way_out = f"tidegate key trust FILE.pub{option}"
    consequence = (
        "each push is refused" if role is not Role.KEY_ROTATION else "they are replaced on the device alone"
    )
    said = f"no key may sign {_PLURAL[role]}, so {consequence}"
    used = _uses(config, keys, role)
    if used:
        yield Check("keys", "warning", f"{said}, though agent.yaml has `{used}`", way_out)
    elif role is Role.POLICY or keys.keys:
        yield Check("keys", "ok", f"{said}; {way_out}")


def _uses(config: AgentConfig, keys: TrustedKeys, role: Role) -> str:
    """What in agent.yaml makes sense with such pushes only; empty for nothing."""
    if role in keys.thresholds:
        return f"signature_thresholds: {{{role}: {keys.threshold(role)}}}"
    if role is Role.BUNDLE and "pushed_bundles" in config.model_fields_set:
        return "pushed_bundles"
    if role is Role.POLICY and config.groups:
        return f"groups: [{', '.join(config.groups)}]"
    return ""
