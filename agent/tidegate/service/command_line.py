"""What the verbs take, as typed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tidegate.errors import EX_USAGE
from tidegate.service.release import EXTRAS

TRIAL_S = 60.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"tidegate: {message}; {self.prog} --help shows what there is\n")
        sys.exit(EX_USAGE)


def verbs() -> dict[str, argparse.ArgumentParser]:
    """The options of each verb."""
    return _parsers()[1]


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    top = _Parser(prog="./install.sh", description="tidegate as a service of this machine: docs/install.md.")
    added = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)
    service = added.add_parser(
        "service", help="install it, start it and ask it for an answer; again: bring it up to date"
    )
    upgrade = added.add_parser(
        "upgrade", help="put a newer version on trial; the one before comes back if it fails"
    )
    rollback = added.add_parser("rollback", help="go back to the version before")
    apply = added.add_parser("apply", help="bring a changed agent.yaml into force; the unit's network follows it")
    uninstall = added.add_parser("uninstall", help="stop it and remove everything")
    status = added.add_parser("status", help="which versions there are, which runs, and how the last trial ended")
    wheels = added.add_parser("wheels", help="make a folder from which devices without a network install")
    for each in (service, upgrade, rollback, apply, uninstall, status):
        each.add_argument("--user", action="store_true", help="for you alone, without root")
    for each in (service, upgrade, rollback, apply, uninstall):
        each.add_argument("--dry-run", action="store_true", help="print each step and change nothing")
    for each in (service, upgrade, wheels):
        each.add_argument(
            "--extras",
            type=_extras,
            metavar="NAMES",
            help=f"what is installed besides, with commas between, or none: {', '.join(EXTRAS)}",
        )
    for each in (service, upgrade):
        each.add_argument("--wheels", type=Path, metavar="DIR", help="install from this folder, without a network")
        each.add_argument(
            "--trial", type=float, default=TRIAL_S, metavar="SECONDS", help="how long a new version is watched"
        )
        each.add_argument(
            "--memory-limit", type=int, metavar="MIB", help="what agent and worker may hold in the trial"
        )
    service.add_argument("--bundle", type=Path, metavar="B", help="the model; without one, the demo's digits")
    service.add_argument("--policy", type=Path, metavar="P", help="the local policy")
    service.add_argument("--broker", metavar="URL", help="mqtt://[user@]host[:port], mqtts:// for TLS")
    service.add_argument("--broker-password-file", type=Path, metavar="FILE", help="holds the broker's password")
    uninstall.add_argument("--keep-state", action="store_true", help="leave configuration and state")
    wheels.add_argument("folder", type=Path, metavar="DIR")
    wheels.add_argument("--platform", metavar="TAG", help="of another machine, such as manylinux_2_28_aarch64")
    wheels.add_argument("--python-version", metavar="V", help="of another machine, such as 3.13")
    return top, dict(added.choices)


def _extras(said: str) -> tuple[str, ...]:
    asked = set() if said == "none" else {name.strip() for name in said.split(",")}
    if unknown := sorted(asked.difference(EXTRAS)):
        raise argparse.ArgumentTypeError(f"found {', '.join(unknown)}; allowed are {', '.join(EXTRAS)}, or none")
    return tuple(sorted(asked))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Ends with 64 for a wrong command line."""
    return _parsers()[0].parse_args(arguments)
