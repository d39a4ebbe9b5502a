"""What the drivers asked this device and what it answered, word for word: enough to make a tree of it."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate_drivers.apple.system import MacSystem
from tidegate_drivers.boards import vcio
from tidegate_drivers.linux import sysfs

_SECRET_LINE = re.compile(r"^.*SERIAL.*$", re.MULTILINE | re.IGNORECASE)
_SECRET_KEY = re.compile(r"(<key>[^<]*serial[^<]*</key>\s*<(\w+)>)[^<]*(</\2>)", re.IGNORECASE)
_MOST_CHARACTERS = 64 * 1024


class Recording:
    """Listens to the narrow places through which every driver asks, between `start` and `stop`."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self._undo: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._listen(sysfs, "_read_page", str)
        self._listen(vcio, "ask", lambda command: f"vcio {command}")
        self._listen(MacSystem, "output_of", lambda _self, command: " ".join(command))
        for name in ("notify_state", "sysctl_int", "process_thermal_state"):
            self._listen(MacSystem, name, lambda _self, key="", name=name: f"{name} {key}".strip())

    def stop(self) -> None:
        """End."""
        for undo in self._undo:
            undo()
        self._undo.clear()

    def _listen(self, owner: Any, name: str, called: Callable[..., str]) -> None:
        really = getattr(owner, name)

        def listening(*arguments: Any) -> Any:
            key = called(*arguments)
            try:
                answer = really(*arguments)
            except OSError as error:
                self.answers[key] = f"! {errno.errorcode.get(error.errno or 0, '')} {error}"
                raise
            self.answers[key] = without_secrets(answer)
            return answer

        setattr(owner, name, listening)
        self._undo.append(lambda: setattr(owner, name, really))


def without_secrets(answer: object) -> str:
    """The answer as text, without serial numbers, and no longer than is needed."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    # A property list keeps its shape, so that it can still be read as one.
    text = _SECRET_KEY.sub(r"\1(left out)\3", text) if "<key>" in text else _SECRET_LINE.sub("(left out)", text)
    return text[:_MOST_CHARACTERS]


def who_asks() -> dict[str, object]:
    """What this user may do here: the first thing to know about a reading that is denied."""
    groups = sorted(os.getgroups()) if hasattr(os, "getgroups") else []
    devices = [str(path) for path in (vcio.DEVICE, Path("/dev/fuse")) if path.exists()]
    return {"uid": os.geteuid(), "groups": groups, "devices": devices, "container": _container()}


def _container() -> str:
    marks = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
    found = [name for path, name in marks.items() if Path(path).exists()]
    return os.environ.get("container", "") or ", ".join(found)  # noqa: SIM112  systemd-nspawn and LXC spell it so
