"""The verbs: look at the machine, plan, execute, and say what came of it."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tidegate import last_trial
from tidegate.errors import TidegateError
from tidegate.last_trial import LastTrial, read_last_trial
from tidegate.service import launchd, machine, plan, systemd, wheels
from tidegate.service.broker_url import parse_broker
from tidegate.service.choices import Choices, read_choices
from tidegate.service.command_line import parse
from tidegate.service.errors import ServiceError, UsageError
from tidegate.service.places import Places
from tidegate.service.plan import Found
from tidegate.service.release import Release, from_clone, from_wheels
from tidegate.service.steps import WORDS_S, Step, execute, run
from tidegate.service.wanted import wanted

CLONE = Path(__file__).resolve().parents[3]
JUDGE_S = 120.0


def say(text: str) -> None:
    """One message to the user, on stderr as all of install.sh's."""
    sys.stderr.write(f"tidegate: {text}\n")


@dataclass(frozen=True, slots=True)
class Judged:
    """The last JSON object of a trial."""

    text: str

    def __str__(self) -> str:
        seen = json.loads(self.text)
        held = seen["memory_bytes"]
        memory = "" if held is None else f", agent and worker hold {held >> 20} MiB"
        return f"{seen['canaries']} of {seen['canaries']} canaries right at {seen['point']}{memory}"


def judge(where: Places, version: str, seconds: float, limit_bytes: int | None) -> Judged:
    """Ask the running service. Raises ServiceError when it is not fit to stay."""
    said, code = run(plan.judge(where, version, seconds, limit_bytes), seconds + JUDGE_S)
    if code != 0:
        raise ServiceError(said.strip())
    return Judged(said.strip().splitlines()[-1])


def release_of(chosen: Choices) -> Release:
    """What to install: the wheels named now or before, else the clone."""
    if chosen.wheels is not None:
        return from_wheels(Path(chosen.wheels), chosen.extras)
    if (CLONE / "pyproject.toml").is_file():
        return from_clone(CLONE, chosen.extras)
    raise UsageError(
        "no clone lies beside this program; name a folder made by ./install.sh wheels DIR: --wheels DIR"
    )


def choose(asked: argparse.Namespace, before: Choices | None) -> Choices:
    """The choices made now over those made before."""
    chosen = before or Choices(machine.base_python())
    if before is not None and not Path(before.python).exists():
        say(f"{before.python} is gone; from now on {machine.base_python()} is used")
        chosen = replace(chosen, python=machine.base_python())
    if asked.wheels is not None:
        chosen = replace(chosen, wheels=str(asked.wheels.resolve()))
    if asked.extras is not None:
        chosen = replace(chosen, extras=asked.extras)
    if getattr(asked, "broker", None) is not None:
        parse_broker(asked.broker)
        chosen = replace(chosen, broker=asked.broker)
    return chosen


def show(steps: Iterable[Step]) -> None:
    """What a dry run prints."""
    for step in steps:
        sys.stdout.write(f"{step}\n")


def install(asked: argparse.Namespace) -> None:
    """`service` and `upgrade`."""
    where = machine.places(user=asked.user)
    before = read_choices(where.choices)
    if asked.verb == "upgrade" and before is None:
        raise UsageError(f"nothing is installed at {where.prefix}; ./install.sh service installs it")
    chosen = choose(asked, before)
    release = release_of(chosen)
    found = machine.found(where, release.name)
    wish = wanted(asked, found, CLONE)
    uv = shutil.which("uv")
    has_pip = uv is None and machine.has_pip(chosen.python)
    prepared = plan.prepare(where, release, chosen, found, uv, has_pip=has_pip)
    verified = plan.verify(where, release, found, wish)
    target = plan.version_path(release)
    configured = plan.configure(where, chosen, found, wish, target)
    switched = plan.switch(where, target, found)
    if asked.dry_run:
        for obstacle in machine.obstacles(where, chosen.python):
            say(f"would stop here: {obstacle}")
        show([*prepared, *verified, *configured, *switched])
        return
    machine.check(where, chosen.python)
    if found.has_config and getattr(asked, "broker", None) is not None:
        say(f"{where.config} is there and stays as it is; set `broker` in it, then ./install.sh apply")
    with machine.held(where):
        if prepared:
            say(f"making {where.prefix / target}; a minute or two")
        execute(prepared)
        execute(verified)
        unit_before, drop_ins_before = _text(where.unit), _drop_ins(where)
        limit = memory_limit(asked, where, found)
        execute(configured)
        same_unit = (_text(where.unit), _drop_ins(where)) == (unit_before, drop_ins_before)
        settled = not plan.changes(found, wish, target) and not prepared and same_unit
        _try(asked, where, found, target, limit, unit_before, settled=settled)
    _tell_how_to_use(where)


def _text(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def _drop_ins(where: Places) -> tuple[str | None, ...]:
    return _text(where.device_drop_in), _text(where.network_drop_in)


def _try(
    asked: argparse.Namespace,
    where: Places,
    found: Found,
    target: str,
    limit_bytes: int | None,
    unit_before: str | None,
    *,
    settled: bool,
) -> None:
    before = found.before_trial or found.current
    on_trial = before is not None and before != target
    if on_trial:
        say(f"{target} is on trial for {asked.trial:g} s; {before} comes back if it fails")
    try:
        if not settled or not _answers(where, target):
            execute(plan.switch(where, target, found))
        _still_current(where, target)
        judged = judge(where, target, asked.trial if on_trial else 0.0, limit_bytes if on_trial else None)
        _still_current(where, target)
    except ServiceError as error:
        if not on_trial or before is None:
            raise
        execute(plan.go_back(where, before, _failed(where, target, str(error)), unit_before))
        back = judge(where, before, 0.0, None)
        raise ServiceError(f"{target} failed its trial: {error}\n  {before} runs again: {back}") from error
    except KeyboardInterrupt:
        if on_trial and before is not None:
            trial = _failed(where, target, "the trial was interrupted")
            execute(plan.go_back(where, before, trial, unit_before))
        raise
    execute(plan.accept(where, target, found, _now()))
    say(f"{target} runs and answers: {judged}")


def _failed(where: Places, version: str, reason: str) -> LastTrial:
    """How the trial of a version failed, with what it logged last: as the unit kept that, else as it is now."""
    seen = read_last_trial(where.prefix) if where.last_words.exists() else None
    if seen is not None:
        return last_trial.failed(version, seen.at, reason, "\n".join(seen.last_words))
    log = run(systemd.journal(where), WORDS_S)[0] if where.manager == "systemd" else launchd.last_lines(where)
    return last_trial.failed(version, _now(), reason, log)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _still_current(where: Places, target: str) -> None:
    """Raises ServiceError when the unit has taken the link back meanwhile: then the version before answers."""
    if machine.found(where, None).current != target:
        trial = read_last_trial(where.prefix)
        words = ("nothing",) if trial is None or trial.accepted else (trial.reason, *trial.last_words)
        raise ServiceError("it ended in failure; its last words:\n  " + "\n  ".join(words))


def _answers(where: Places, version: str) -> bool:
    try:
        judge(where, version, 0.0, None)
    except ServiceError:
        return False
    return True


def memory_limit(asked: argparse.Namespace, where: Places, found: Found) -> int | None:
    """Bytes that a version on trial may hold: as told, else half as much again as the one before holds now."""
    if asked.memory_limit is not None:
        return int(asked.memory_limit) << 20
    if found.current is None:
        return None
    try:
        held = json.loads(judge(where, found.current, 0.0, None).text)["memory_bytes"]
    except ServiceError:
        return None  # it does not answer, so there is nothing to compare with
    return None if held is None else int(held * 1.5)


def _tell_how_to_use(where: Places) -> None:
    say(f"its configuration is {where.config}, requests are answered at {where.socket}")
    named = "" if str(where.config) == "/etc/tidegate/agent.yaml" else f" --config {where.config}"
    say(f"{where.command} status{named} shows how it is")
    if not where.user and where.manager == "systemd":
        say("to ask it without root: sudo usermod --append --groups tidegate YOU, and log in anew")
    if where.user and where.manager == "systemd":
        say("it ends with your last login, unless: sudo loginctl enable-linger $USER")
    if where.user and where.manager == "launchd":
        say("macOS may refuse a user's agent a broker on the local network; without --user it is reached")


def rollback(asked: argparse.Namespace) -> None:
    """Exchange the current version and the one before it."""
    where = machine.places(user=asked.user)
    found = machine.found(where, None)
    previous = str(where.previous.readlink()) if where.previous.is_symlink() else None
    usable = previous not in {None, found.current} and machine.is_whole(where.prefix / str(previous))
    if found.current is None or previous is None or not usable:
        raise ServiceError(
            f"{where.prefix}: there is no version to go back to; ./install.sh status shows which there are"
        )
    steps = plan.roll_back(where, found.current, previous)
    if asked.dry_run:
        show(steps)
        return
    with machine.held(where):
        try:
            execute(steps)
            judged = judge(where, previous, 0.0, None)
            _still_current(where, previous)
        except ServiceError as error:
            execute(plan.go_back(where, found.current, _failed(where, previous, str(error)), None))
            raise ServiceError(f"{previous} no longer runs: {error}\n  {found.current} runs again") from error
        execute(plan.accept(where, previous, found, _now()))
    say(f"{previous} runs and answers: {judged}")


def apply(asked: argparse.Namespace) -> None:
    """Bring a changed agent.yaml into force: the unit follows it, and the service starts anew."""
    where = machine.places(user=asked.user)
    found = machine.found(where, None)
    if found.current is None:
        raise UsageError(f"nothing is installed at {where.prefix}; ./install.sh service installs it")
    steps = plan.apply(where, found.current)
    if asked.dry_run:
        show(steps)
        return
    machine.need_root(where)
    with machine.held(where):
        execute(steps)
        judged = judge(where, found.current, 0.0, None)
    opened = ", and the unit lets other machines in and out" if where.network_drop_in.exists() else ""
    say(f"{where.config} is in force{opened}: {judged}")


def uninstall(asked: argparse.Namespace) -> None:
    """Take everything away."""
    where = machine.places(user=asked.user)
    steps = plan.remove(where, keep_state=asked.keep_state)
    if asked.dry_run:
        show(steps)
        return
    if not where.user and where.prefix.exists():
        machine.need_root(where)
    with machine.held(where):
        execute(steps)
    left = f"; {where.config_dir} and {where.state_dir} are kept" if asked.keep_state else ""
    say(f"the service is gone{left}")


def status(asked: argparse.Namespace) -> int:
    """Versions, the last trial, the unit. 0 when it runs, 69 when it doesn't."""
    where = machine.places(user=asked.user)
    found = machine.found(where, None)
    if found.current is None:
        raise ServiceError(f"nothing is installed at {where.prefix}; ./install.sh service installs it")
    out = sys.stdout.write
    out(f"current   {where.prefix / found.current}\n")
    if not machine.is_whole(where.prefix / found.current):
        out("          is broken, or its Python is gone; ./install.sh service makes it anew\n")
    if where.previous.is_symlink():
        out(f"previous  {where.prefix / where.previous.readlink()}\n")
    if found.before_trial is not None:
        out(f"trial     under way, {found.before_trial} comes back if it fails; ended? ./install.sh upgrade\n")
    elif (last := read_last_trial(where.prefix)) is not None:
        outcome = "was accepted" if last.accepted else f"failed: {last.reason}"
        out(f"trial     {last.version} {outcome}\n")
        for line in last.last_words:
            out(f"          {line}\n")
    out(f"config    {where.config}\n")
    try:
        out(f"service   answers: {judge(where, found.current, 0.0, None)}\n")
    except ServiceError as error:
        raise ServiceError(f"the service does not answer: {error}") from None
    return 0


def make_wheels(asked: argparse.Namespace) -> None:
    """Fill a folder."""
    release = from_clone(CLONE, asked.extras or ())
    with wheels.scratch() as scratch:
        say(f"fetching what tidegate needs into {asked.folder}, about 80 MB")
        execute(wheels.steps(asked.folder.resolve(), release, Path(scratch), asked.platform, asked.python_version))
    say(f"{asked.folder} is complete; on the device: ./install.sh service --wheels DIR")


VERBS = {
    "service": install,
    "upgrade": install,
    "rollback": rollback,
    "apply": apply,
    "uninstall": uninstall,
    "status": status,
    "wheels": make_wheels,
}


def main(arguments: Sequence[str]) -> int:
    """Entry point; the exit code."""
    asked = parse(arguments)
    try:
        return VERBS[asked.verb](asked) or 0
    except TidegateError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted; the same command again goes on from here")
        return 130
