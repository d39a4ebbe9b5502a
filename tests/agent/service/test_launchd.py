"""launchd's files and order of calls, with a launchctl that takes its time; no Mac has run this yet."""

import plistlib
from pathlib import Path

import pytest

from tidegate.service import launchd
from tidegate.service.errors import ServiceError
from tidegate.service.launchd import BootedOut, Bootstrapped
from tidegate.service.places import system_places, user_places
from tidegate.supervisor.exit_code import FINAL_VARIABLE

KEYS: dict[str, type] = {
    "Label": str,
    "UserName": str,
    "GroupName": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "Umask": int,
    "EnvironmentVariables": dict,
    "WorkingDirectory": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}
"""launchd.plist(5): a key that it does not know, or one of another type, is ignored without a word."""

LAUNCHCTL = """#!/bin/sh
# A job that takes as many `print`s to drain as `draining` says; until then bootstrap is refused.
echo "$*" >> "$LAUNCHD/asked"
left=$(cat "$LAUNCHD/draining" 2>/dev/null || echo 0)
case "$1" in
  bootout) [ -e "$LAUNCHD/loaded" ] || exit 3 ;;
  print)
    [ -e "$LAUNCHD/loaded" ] || exit 113
    if [ "$left" -gt 0 ]; then echo $((left - 1)) > "$LAUNCHD/draining"; else rm "$LAUNCHD/loaded"; exit 113; fi
    ;;
  bootstrap)
    busy=$(cat "$LAUNCHD/busy" 2>/dev/null || echo 0)
    if [ "$busy" -gt 0 ]; then echo $((busy - 1)) > "$LAUNCHD/busy"; echo "Bootstrap failed: 5"; exit 5; fi
    [ ! -e "$LAUNCHD/refuses" ] || { echo "Bootstrap failed: 125"; exit 125; }
    touch "$LAUNCHD/loaded"
    ;;
esac
exit 0
"""


@pytest.fixture
def launchctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "launchctl"
    program.parent.mkdir()
    program.write_text(LAUNCHCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LAUNCHD", str(tmp_path))
    monkeypatch.setattr(launchd, "PAUSE_S", 0.01)
    return tmp_path


def asked(launchctl: Path) -> list[str]:
    return (launchctl / "asked").read_text().splitlines()


@pytest.mark.parametrize("user", [False, True])
def test_the_property_list_has_known_keys_of_their_type_and_paths_that_are_absolute(user: bool) -> None:
    places = user_places("launchd", Path("/Users/me"), {}, 501) if user else system_places("launchd")
    job = plistlib.loads(launchd.property_list(places).encode())
    assert {name: type(value) for name, value in job.items()}.items() <= KEYS.items()
    assert job["Label"] == places.unit.stem
    assert job["ProcessType"] == "Interactive"
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert job["EnvironmentVariables"]["ORT_DISABLE_TELEMETRY"] == "1"
    assert job["ProgramArguments"][1:] == ["run", "--config", str(places.config)]
    for path in (job["ProgramArguments"][0], job["StandardErrorPath"], str(places.config)):
        assert path.startswith("/")
    assert ("UserName" in job) is not user
    assert launchd.EXIT_TIMEOUT_S < launchd.DRAIN_S


def test_launchd_and_systemd_start_nothing_again_after_the_same_failures() -> None:
    unit = (Path(launchd.__file__).with_name("templates") / "tidegate.service").read_text()
    assert f"RestartPreventExitStatus={launchd.FINAL_EXIT_CODES}\n" in unit
    job = plistlib.loads(launchd.property_list(system_places("launchd")).encode())
    assert job["EnvironmentVariables"][FINAL_VARIABLE] == launchd.FINAL_EXIT_CODES


def test_bootout_waits_until_the_job_is_forgotten_and_bootstrap_follows(launchctl: Path) -> None:
    (launchctl / "loaded").touch()
    (launchctl / "draining").write_text("3")
    BootedOut("system/io.tidegate.agent").execute()
    assert not (launchctl / "loaded").exists()
    (launchctl / "busy").write_text("2")
    Bootstrapped("system", "/Library/LaunchDaemons/io.tidegate.agent.plist").execute()
    assert (launchctl / "loaded").exists()
    assert asked(launchctl) == [
        "bootout system/io.tidegate.agent",
        *["print system/io.tidegate.agent"] * 4,
        *["bootstrap system /Library/LaunchDaemons/io.tidegate.agent.plist"] * 3,
    ]


def test_a_job_that_never_drains_is_named(launchctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchd, "DRAIN_S", 0.1)
    (launchctl / "loaded").touch()
    (launchctl / "draining").write_text("1000")
    with pytest.raises(ServiceError, match=r"system/io.tidegate.agent is still there"):
        BootedOut("system/io.tidegate.agent").execute()


def test_a_job_that_is_refused_is_not_tried_for_half_a_minute(launchctl: Path) -> None:
    (launchctl / "refuses").touch()
    with pytest.raises(ServiceError, match="Bootstrap failed: 125"):
        Bootstrapped("system", "/x.plist").execute()
    assert asked(launchctl) == ["bootstrap system /x.plist"]
