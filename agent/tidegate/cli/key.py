"""`tidegate key`: make keys, look at them, and say which of them this device trusts."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import key_rotate
from tidegate.cli.console import fail, out
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.cli.running_agent import ConfigOption
from tidegate.cli.trusted_keys_file import entry_lines, with_entry, without_entry
from tidegate.config import DEFAULT_CONFIG, AgentConfig, KeyEntry, config_in, load_config, trusted_keys
from tidegate.documents import DocumentError, parse, read
from tidegate.errors import EX_DATAERR, EX_UNAVAILABLE, EX_USAGE
from tidegate.files import replace_file
from tidegate.supervisor.updates.key_rotation import rotation_in_force
from tidegate.telemetry.topics import TopicError, checked_name
from tidegate.trust.key_file import PRIVATE_SUFFIX, read_public, write_pair
from tidegate.trust.keys import KeyFormatError, PrivateKey, PublicKey, parse_public
from tidegate.trust.ssh_agent import PREFIX, agent_key
from tidegate.trust.trusted_keys import Role

LONGEST_WAIT_S = 10.0
"""For another command that changes agent.yaml."""
_REMEDIES: dict[int | None, str] = {
    errno.EACCES: "run this as its owner",
    errno.EPERM: "run this as its owner",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
}

app = typer.Typer(help="Make keys, show them, and say which this device trusts.", no_args_is_help=True)


@app.command("new")
def new_command(
    name: Annotated[
        str, typer.Argument(help="Whose it is, or a path that ends so: alice makes alice.key, alice.pub.")
    ],
) -> None:
    """Make a key pair to sign policies with. Files that exist are never overwritten."""
    file = Path(name)
    _check_name(file.name)
    private = file.with_name(file.name + PRIVATE_SUFFIX)
    key = PrivateKey.new()
    public_file = write_pair(private, key)
    _say(f"{private}: the private key, readable by you alone; who has it signs in your name")
    _say(f"{public_file}: the public key, for all devices that are to trust it")
    _say(f"keyid {key.public.keyid}")
    _say(f"next, on the device: tidegate key trust {public_file.name}")


@app.command("show")
def show_command(
    named: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="A key file, or agent:COMMENT; without one, the keys of agent.yaml."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a key, or which keys this device trusts and for what."""
    if named is not None:
        key = (
            agent_key(named.removeprefix(PREFIX)).public if named.startswith(PREFIX) else read_public(Path(named))
        )
        if as_json:
            write_json({"keyid": key.keyid, "key": key.text})
            return
        _say(f"keyid {key.keyid}")
        _say(f"key   {key.text}")
        return
    settings = load_config(config)
    keys = trusted_keys(settings)
    rotation = rotation_in_force(settings.state_dir, keys)
    if rotation is not None:
        keys = rotation[1]
    if as_json:
        write_json(
            {
                "rotation": None if rotation is None else rotation[0],
                "keys": [
                    {"name": each.name, "keyid": each.key.keyid, "key": each.key.text, "roles": sorted(each.roles)}
                    for each in keys.keys
                ],
                "signature_thresholds": dict(keys.thresholds),
                "allow_unsigned": settings.allow_unsigned,
            }
        )
        return
    if rotation is not None:
        version, _ = rotation
        _say(f"rotated over MQTT, version {version}; {config} counts again once its keys change")
    for entry in keys.keys:
        _say(f"{entry.name}: {', '.join(sorted(entry.roles))}")
        _say(f"  keyid {entry.key.keyid}")
    for role, threshold in keys.thresholds.items():
        _say(f"a {role} needs {threshold} signers")
    if not keys.keys:
        _say(f"{config}: no trusted keys; add one: tidegate key trust FILE.pub")
    if settings.allow_unsigned:
        _say("allow_unsigned is set: whoever may publish at the broker may set this device's policy")


@app.command("trust")
def trust_command(
    key: Annotated[str, typer.Argument(help="A public key's file, agent:COMMENT, or the key in one line.")],
    name: Annotated[str | None, typer.Option(help="What to call it here; the file's name without one.")] = None,
    role: Annotated[
        list[Role] | None,
        typer.Option(
            metavar="ROLE", help=f"What it may sign: {', '.join(Role)}; policy without one. Once for each role."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Trust a key from now on: an entry in agent.yaml, whose comments stay. An agent that runs must reload."""
    public = _public_key(key)
    roles = tuple(each.value for each in role or (Role.POLICY,))
    called = name if name is not None else Path(key).stem if os.path.lexists(key) else None
    if called is None:
        fail("say what to call this key here: --name NAME", EX_USAGE)
    _check_name(called)
    with _alone(config):
        _trust(config, called, public, roles)


def _trust(config: Path, called: str, public: PublicKey, roles: tuple[str, ...]) -> None:
    settings = load_config(config)
    wanted = KeyEntry.model_validate({"name": called, "key": public.text, "roles": roles})
    for entry in settings.trusted_keys:
        if (entry.name, entry.key, set(entry.roles)) == (wanted.name, wanted.key, set(wanted.roles)):
            _say(f"{config}: {called} is trusted already for {', '.join(entry.roles)}")
            return
        if entry.key == wanted.key or entry.name == wanted.name:
            same = "this key" if entry.key == wanted.key else "another key of this name"
            said = f"{config}: {same} is trusted already, as {entry.name} for {', '.join(entry.roles)}"
            fail(f"{said}; change its roles there, or first: tidegate key revoke {entry.name}", EX_DATAERR)
    lines = entry_lines(called, public, roles)
    changed = with_entry(parse(read(config), str(config)), lines)
    told = _put(config, changed, settings, (*settings.trusted_keys, wanted))
    if not told:
        fail(f"{config}: can't be added to by itself; add under trusted_keys:\n" + "\n".join(lines), EX_DATAERR)
    _say(f"{config}: {called} is trusted for {', '.join(roles)} ({public.keyid[:16]}...)")
    _say(_reload(config))


@app.command("revoke")
def revoke_command(
    name: Annotated[str, typer.Argument(help="The key's name in agent.yaml, or its keyid.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Trust a key no longer: its entry is taken out of agent.yaml. What it signed and the device runs stays."""
    with _alone(config):
        _revoke(config, name)


def _revoke(config: Path, name: str) -> None:
    settings = load_config(config)
    found = next(
        (
            number
            for number, entry in enumerate(settings.trusted_keys)
            if name in (entry.name, parse_public(entry.key).keyid)
        ),
        None,
    )
    if found is None:
        known = ", ".join(entry.name for entry in settings.trusted_keys) or "none"
        fail(f"{config}: no trusted key {name!r}; there are: {known}", EX_DATAERR)
    left = tuple(entry for number, entry in enumerate(settings.trusted_keys) if number != found)
    changed = without_entry(parse(read(config), str(config)), found)
    if not _put(config, changed, settings, left):
        fail(f"{config}: can't be changed by itself; take {name} out of trusted_keys by hand", EX_DATAERR)
    _say(f"{config}: {name} is trusted no longer")
    if not any("policy" in entry.roles for entry in left) and not settings.allow_unsigned:
        _say("no key is left that may sign a policy: every push is refused from now on")
    _say(_reload(config))


app.command("rotate")(key_rotate.rotate_command)


@contextmanager
def _alone(config: Path) -> Iterator[None]:
    """Wait for others who change the file: of two at once, the second would undo the first."""
    try:
        descriptor = os.open(config.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        # What is wrong there, the reading of the file says.
        yield
        return
    try:
        deadline_s = time.monotonic() + LONGEST_WAIT_S
        while not _locked(descriptor):
            if time.monotonic() > deadline_s:
                fail(f"{config}: something else keeps its directory locked; try again later", EX_UNAVAILABLE)
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Whether it is ours now; a file system that knows no locks is taken as it is."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _put(path: Path, text: str | None, before: AgentConfig, keys: tuple[KeyEntry, ...]) -> bool:
    """Write the changed text if it says just what is wanted; False, and nothing is written, if it doesn't.

    Raises DocumentError for a wish that makes no valid configuration.
    """
    if text is None:
        return False
    try:
        parse(text, str(path))
    except DocumentError:
        # The file is written in a way that lines can't be put into, and what is wrong stands nowhere in it.
        return False
    after = config_in(text, path)
    rotation = rotation_in_force(before.state_dir, trusted_keys(before))
    if after.model_dump() != before.model_copy(update={"trusted_keys": keys}).model_dump():
        return False
    file = path.resolve()
    found = file.stat()
    try:
        replace_file(file, text, mode=stat.S_IMODE(found.st_mode))
        if os.geteuid() == 0:
            os.chown(file, found.st_uid, found.st_gid)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno, "edit it by hand")
        fail(f"{path}: can't be written: {error.strerror}; {remedy}", EX_UNAVAILABLE)
    if rotation is not None:
        _say(f"this undoes the rotation of version {rotation[0]}: the keys of {path} count again")
    elif (again := rotation_in_force(after.state_dir, trusted_keys(after))) is not None:
        _say(f"rotation version {again[0]} replaced just these keys and counts again: no agent read others since")
        _say("to undo it, reload the agent between one change and the next")
    return True


def _public_key(given: str) -> PublicKey:
    if given.startswith(PREFIX):
        return agent_key(given.removeprefix(PREFIX)).public
    if os.path.lexists(given):
        return read_public(Path(given))
    try:
        return parse_public(given)
    except KeyFormatError:
        fail(f"{given}: no such file, and no public key either; `tidegate key new NAME` makes one", EX_DATAERR)


def _check_name(name: str) -> None:
    try:
        checked_name(name, "key name")
    except TopicError as error:
        fail(str(error).partition(", because")[0], EX_USAGE)


def _reload(config: Path) -> str:
    option = "" if config == DEFAULT_CONFIG else f" --config {config}"
    return f"in force once the agent has read it: tidegate reload{option}"


def _say(text: str) -> None:
    out.say(text)
