"""What each verb does, as a list of steps: data in, steps out, nothing executed and nothing looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.last_trial import LastTrial, as_json
from tidegate.service import launchd, systemd, templates
from tidegate.service.broker_url import parse_broker
from tidegate.service.choices import Choices, to_json
from tidegate.service.devices import Devices
from tidegate.service.places import Places
from tidegate.service.release import Release
from tidegate.service.steps import Command, Directory, Gone, Link, Step, Synced, TextFile, Tree, Understood

COMPLETE = "complete"
"""The last file of a version: without it the environment is half made."""

INSTALL_S = 1800.0
VENV_S = 300.0
ASK_S = 120.0


@dataclass(frozen=True, slots=True)
class Found:
    """What is there already. Versions are relative to the prefix, such as versions/0.2.0-1a2b3c4d."""

    whole: bool
    current: str | None
    before_trial: str | None
    has_config: bool
    has_policy: bool
    has_bundle: bool
    has_password: bool
    versions: tuple[str, ...]
    devices: Devices


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; None leaves a file alone that is there."""

    device: str
    bundle: Path
    bundle_name: str
    replace_bundle: bool
    policy: Path
    policy_text: str
    replace_policy: bool
    password: str | None


def version_path(release: Release) -> str:
    """Where a release lies, relative to the prefix."""
    return f"versions/{release.name}"


def prepare(
    places: Places, release: Release, choices: Choices, found: Found, uv: str | None, *, has_pip: bool
) -> list[Step]:
    """The release's environment, whole and on the disk, beside whatever runs.

    By uv, or by the pip that `choices.python` has: to unpack another one into each version takes eight seconds.
    """
    if found.whole:
        return []
    version = places.prefix / version_path(release)
    python = version / "bin/python"
    requirements = version / "requirements.txt"
    make = (choices.python, "-P", "-m", "venv", *(("--without-pip",) if uv or has_pip else ()), str(version))
    offline = () if release.wheels is None else ("--no-index", "--find-links", str(release.wheels))
    pip: tuple[str, ...]
    if uv is None:
        into = (choices.python, "-P", "-m", "pip", "--python", str(python))
        own = (str(python), "-P", "-m", "pip")
        quiet = ("--disable-pip-version-check", "--no-input", "--quiet")
        pip = (*(into if has_pip else own), "install", *quiet)
    else:
        pip = (uv, "pip", "install", "--quiet", "--python", str(python), "--compile-bytecode")
    return [
        Directory(places.versions),
        Gone(version),
        Command(make, VENV_S),
        TextFile(requirements, release.requirements, shown="(every dependency with its hashes)"),
        Command((*pip, *offline, "--require-hashes", "-r", str(requirements)), INSTALL_S),
        Command((*pip, *offline, "--no-deps", str(release.install)), INSTALL_S),
        Command((str(version / "bin/tidegate"), "--version"), ASK_S),
        Synced(),
        TextFile(version / COMPLETE, f"{release.name}\n"),
    ]


def verify(places: Places, release: Release, found: Found, wanted: Wanted) -> list[Step]:
    """All that is to be served, read by the version that is to serve it, before anything else changes."""
    command = str(places.prefix / version_path(release) / "bin/tidegate")
    before = found.before_trial or found.current
    steps: list[Step] = []
    if found.has_config and before not in {None, version_path(release)}:
        check = ("config", "check", str(places.config))
        steps.append(
            Understood((command, *check), (str(places.prefix / str(before) / "bin/tidegate"), *check), ASK_S)
        )
    if wanted.replace_bundle:
        steps.append(Command((command, "bundle", "inspect", str(wanted.bundle)), ASK_S))
    if wanted.replace_policy:
        steps.append(Command((command, "policy", "check", str(wanted.policy)), ASK_S))
    return steps


def configure(places: Places, choices: Choices, found: Found, wanted: Wanted, target: str) -> list[Step]:
    """User, bundle, policy, agent.yaml, secrets and the service manager's files; what a user has edited stays."""
    broker = None if choices.broker is None else parse_broker(choices.broker)
    password = found.has_password or wanted.password is not None
    steps: list[Step] = [*account(places), Directory(places.config_dir)]
    steps += [Directory(path, 0o700) for path in own_directories(places)]
    if wanted.replace_bundle or not found.has_bundle:
        copy = places.bundles / wanted.bundle_name
        steps += [
            Directory(places.bundles),
            Tree(copy, wanted.bundle),
            Link(places.bundle, f"bundles/{copy.name}"),
        ]
    if wanted.replace_policy or not found.has_policy:
        steps.append(TextFile(places.policy, wanted.policy_text))
    if wanted.password is not None:
        steps.append(TextFile(places.password, wanted.password, 0o600, "(a secret)"))
    if not found.has_config:
        text = templates.agent_yaml(places, device=wanted.device, password=password, broker=broker)
        steps.append(TextFile(places.config, text))
    steps.append(TextFile(places.choices, to_json(choices)))
    if places.manager == "systemd":
        steps.append(TextFile(places.prefix / "trial-ended", templates.trial_ended(), 0o755, "(a script)"))
        unit = templates.unit(places, password=password)
        steps += systemd.opened(places, found.devices)
        steps += systemd.network(places, places.prefix / target)
    else:
        unit = launchd.property_list(places)
    steps.append(TextFile(places.unit, unit))
    steps += [
        Directory(places.command.parent),
        Link(places.command, str(places.current / "bin/tidegate")),
    ]
    return steps


def changes(found: Found, wanted: Wanted, target: str) -> bool:
    """Whether what runs now has to start anew for the new files."""
    told = wanted.replace_bundle or wanted.replace_policy or wanted.password is not None
    return told or found.current != target or found.before_trial is not None or not found.has_config


def account(places: Places) -> list[Step]:
    """The service's own user, where it has one."""
    if places.user:
        return []
    return systemd.account(places) if places.manager == "systemd" else launchd.account()


def own_directories(places: Places) -> Sequence[Path]:
    """Those that no service manager makes."""
    if places.manager == "launchd":
        made = (places.state_dir, places.runtime_dir, places.cache_dir)
        return made if places.log_dir is None else (*made, places.log_dir)
    return (places.state_dir,) if places.user else ()


def switch(places: Places, target: str, found: Found) -> list[Step]:
    """Have the target run: on trial where another version ran before, whose name is kept until it is proven."""
    before = found.before_trial or found.current
    steps: list[Step] = []
    if before is not None and before != target:
        steps += [Gone(places.last_words), Link(places.previous, before), TextFile(places.trial, f"{before}\n")]
    return [*steps, Link(places.current, target), *start(places)]


def start(places: Places) -> list[Step]:
    """Started anew with the files that lie there; done when it is READY."""
    return systemd.start(places) if places.manager == "systemd" else launchd.start(places)


def stop(places: Places) -> list[Step]:
    """Not running and not started any more, whether it was there or not."""
    return systemd.stop(places) if places.manager == "systemd" else launchd.stop(places)


def judge(places: Places, version: str, seconds: float, memory_limit_bytes: int | None) -> tuple[str, ...]:
    """The command that asks the running service for right canaries, for so long."""
    limit = () if memory_limit_bytes is None else ("--memory-limit", str(memory_limit_bytes))
    python = str(places.prefix / version / "bin/python")
    watch = ("--config", str(places.config), "--seconds", f"{seconds:g}", *limit)
    return (python, "-P", "-m", "tidegate.service.trial", *watch)


def accept(places: Places, target: str, found: Found, at: str) -> list[Step]:
    """The target stays, tried until `at`; versions that nothing goes back to are removed."""
    before = found.before_trial or found.current
    kept = {target, before}
    told = as_json(LastTrial(target, accepted=True, at=at))
    tried = [TextFile(places.last_trial, told)] if before not in {None, target} else []
    steps: list[Step] = [*tried, Gone(places.trial)]
    return steps + [Gone(places.prefix / name) for name in found.versions if name not in kept]


def go_back(places: Places, before: str, trial: LastTrial, unit_before: str | None) -> list[Step]:
    """The version before runs again, with its own unit; how the trial ended is kept for `status` and the agent."""
    unit: list[Step] = [] if unit_before is None else [TextFile(places.unit, unit_before)]
    return [
        *unit,
        Link(places.current, before),
        TextFile(places.last_trial, as_json(trial)),
        Gone(places.trial),
        Gone(places.last_words),
        *start(places),
    ]


def apply(places: Places, current: str) -> list[Step]:
    """A changed agent.yaml is in force: read first, then the unit follows it, then the service starts anew."""
    version = places.prefix / current
    check = (str(version / "bin/tidegate"), "config", "check", str(places.config))
    follows = systemd.network(places, version) if places.manager == "systemd" else []
    return [Command(check, ASK_S), *follows, *start(places)]


def roll_back(places: Places, current: str, previous: str) -> list[Step]:
    """Exchange the current version and the one before it."""
    return [
        Gone(places.last_words),
        TextFile(places.trial, f"{current}\n"),
        Link(places.current, previous),
        Link(places.previous, current),
        *start(places),
    ]


def remove(places: Places, *, keep_state: bool) -> list[Step]:
    """Stop it and take away all that was installed; `keep_state` leaves configuration, state and their owner."""
    steps: list[Step] = [*stop(places), Gone(places.unit)]
    if places.manager == "systemd":
        steps += [Gone(places.device_drop_in), Gone(places.network_drop_in)]
        if not keep_state:
            steps.append(Gone(places.drop_ins))
        steps += systemd.forget(places)
    steps += [Gone(places.command), Gone(places.prefix), Gone(places.cache_dir), Gone(places.runtime_dir)]
    if keep_state:
        return steps
    steps += [Gone(places.state_dir), Gone(places.config_dir)]
    if places.log_dir is not None:
        steps.append(Gone(places.log_dir))
    if not places.user:
        steps += systemd.forget_account(places) if places.manager == "systemd" else launchd.forget_account()
    return steps
