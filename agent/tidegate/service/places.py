"""Where a service lives: versions, configuration, state, sockets, and the file that the service manager reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tidegate import last_trial

ServiceManager = Literal["systemd", "launchd"]

UNIT = "tidegate.service"
LABEL = "io.tidegate.agent"
"""launchd's name for the job."""


@dataclass(frozen=True, slots=True)
class Places:
    """All absolute. `unit` is systemd's unit or launchd's property list, `command` what users type."""

    manager: ServiceManager
    user: bool
    prefix: Path
    config_dir: Path
    state_dir: Path
    runtime_dir: Path
    cache_dir: Path
    log_dir: Path | None
    unit: Path
    command: Path

    @property
    def versions(self) -> Path:
        """One virtual environment per version."""
        return self.prefix / "versions"

    @property
    def current(self) -> Path:
        """The link to the version that starts next."""
        return self.prefix / "current"

    @property
    def previous(self) -> Path:
        """The link to the version that `rollback` goes back to."""
        return self.prefix / "previous"

    @property
    def trial(self) -> Path:
        """Holds the version to go back to, while another one is on trial."""
        return self.prefix / last_trial.UNDER_WAY

    @property
    def last_trial(self) -> Path:
        """How the last trial ended, as JSON."""
        return self.prefix / last_trial.FILE_NAME

    @property
    def last_words(self) -> Path:
        """What a version on trial said before the unit took the link back."""
        return self.prefix / last_trial.LAST_WORDS

    @property
    def choices(self) -> Path:
        """What was chosen at installation."""
        return self.prefix / "choices.json"

    @property
    def config(self) -> Path:
        """agent.yaml."""
        return self.config_dir / "agent.yaml"

    @property
    def policy(self) -> Path:
        """The local policy."""
        return self.config_dir / "policy.yaml"

    @property
    def password(self) -> Path:
        """The broker's password."""
        return self.config_dir / "broker-password"

    @property
    def bundle(self) -> Path:
        """The link to the bundle that is served, in `bundles`."""
        return self.prefix / "bundle"

    @property
    def bundles(self) -> Path:
        """Copies of bundles, named by content: the originals may lie where a sandbox can't read."""
        return self.prefix / "bundles"

    @property
    def socket(self) -> Path:
        """Where requests are answered."""
        return self.runtime_dir / "tidegate.sock"

    @property
    def drop_ins(self) -> Path:
        """systemd's folder of additions to the unit."""
        return self.unit.with_name(self.unit.name + ".d")

    @property
    def device_drop_in(self) -> Path:
        """Opens what the sandbox would hide of this machine."""
        return self.drop_ins / "10-devices.conf"

    @property
    def network_drop_in(self) -> Path:
        """Opens the network, where agent.yaml names other machines."""
        return self.drop_ins / "20-network.conf"

    @property
    def udev_rules(self) -> Path:
        """Gives the service's group what root alone may read."""
        return Path("/etc/udev/rules.d/60-tidegate.rules")

    @property
    def account(self) -> Path:
        """The sysusers.d(5) file of the service's own user."""
        return Path("/etc/sysusers.d/tidegate.conf")


def system_places(manager: ServiceManager) -> Places:
    """For every user of the machine; made and changed by root."""
    if manager == "launchd":
        return Places(
            manager,
            user=False,
            prefix=Path("/usr/local/tidegate"),
            config_dir=Path("/usr/local/etc/tidegate"),
            state_dir=Path("/usr/local/var/tidegate"),
            runtime_dir=Path("/usr/local/var/run/tidegate"),
            cache_dir=Path("/usr/local/var/cache/tidegate"),
            log_dir=Path("/Library/Logs/tidegate"),
            unit=Path(f"/Library/LaunchDaemons/{LABEL}.plist"),
            command=Path("/usr/local/bin/tidegate"),
        )
    return Places(
        manager,
        user=False,
        prefix=Path("/opt/tidegate"),
        config_dir=Path("/etc/tidegate"),
        state_dir=Path("/var/lib/tidegate"),
        runtime_dir=Path("/run/tidegate"),
        cache_dir=Path("/var/cache/tidegate"),
        log_dir=None,
        unit=Path("/etc/systemd/system") / UNIT,
        command=Path("/usr/local/bin/tidegate"),
    )


def user_places(manager: ServiceManager, home: Path, environment: Mapping[str, str], uid: int) -> Places:
    """For one user, without root; XDG's directories on Linux, ~/Library on macOS."""
    command = home / ".local/bin/tidegate"
    if manager == "launchd":
        support = home / "Library/Application Support/tidegate"
        return Places(
            manager,
            user=True,
            prefix=support,
            config_dir=support / "etc",
            state_dir=support / "state",
            runtime_dir=support / "run",
            cache_dir=home / "Library/Caches/tidegate",
            log_dir=home / "Library/Logs/tidegate",
            unit=home / f"Library/LaunchAgents/{LABEL}.plist",
            command=command,
        )

    def base(variable: str, usual: str) -> Path:
        named = environment.get(variable, "")
        return Path(named) if named.startswith("/") else home / usual

    configuration = base("XDG_CONFIG_HOME", ".config")
    return Places(
        manager,
        user=True,
        prefix=base("XDG_DATA_HOME", ".local/share") / "tidegate",
        config_dir=configuration / "tidegate",
        state_dir=base("XDG_STATE_HOME", ".local/state") / "tidegate",
        runtime_dir=Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}") / "tidegate",
        cache_dir=base("XDG_CACHE_HOME", ".cache") / "tidegate",
        log_dir=None,
        unit=configuration / "systemd/user" / UNIT,
        command=command,
    )
