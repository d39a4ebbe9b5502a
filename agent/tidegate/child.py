"""How a process of ours starts another one: every child of tidegate, whichever part starts it, starts from here.

A child runs the code of its parent, in any working directory: a folder with a `tidegate/` or a `yaml.py` in it is
data to it. It ends when its parent ends.
"""

import os
import sys
import threading
from pathlib import Path

from tidegate import child_main
from tidegate.import_path import absolute_python_path


def command(module: str, *arguments: str) -> list[str]:
    """The command line for `python -m MODULE ARGUMENT...`, to be started by this process, with `environment()`.

    The child ends with this process. Where the main thread starts it, the kernel sees to that; what it sees of any
    other thread is the thread's end, so there the child looks for itself.
    """
    by_kernel = threading.current_thread() is threading.main_thread()
    return _command(f"{'' if by_kernel else child_main.LOOKS_ITSELF}{os.getpid()}", module, arguments)


def independent_command(module: str, *arguments: str) -> list[str]:
    """The same for a process that outlives this one, replaces it, or is started through another program."""
    return _command(child_main.INDEPENDENT, module, arguments)


NO_PLUGINS = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""The search for pydantic's plugins reads about every installed package."""

LEAN = {"MALLOC_ARENA_MAX": "1", "PYTHONNODEBUGRANGES": "1"}
"""For the service, read at a process's start: threads, which mostly wait, share one heap (glibc's mallopt(3)), and
code keeps lines but no columns for tracebacks."""

WAITING = {"MALLOC_TRIM_THRESHOLD_": "131072", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
"""For a process that mostly waits: the free end of its heap goes back to the system, and threads keep no freed
chunks for themselves, which looks like a leak for hours. One that computes would have its tensors mapped anew for
each answer: 1,226 page faults a picture made MobileNetV2 take 62 % more time."""


def service_environment() -> dict[str, str]:
    """For the service itself; what somebody has set for it goes before what is ours."""
    return {**LEAN, **WAITING, **NO_PLUGINS, **environment()}


def environment(**more: str) -> dict[str, str]:
    """This process's environment and `more`, without what would take a child's imports from where it stands.

    What `WAITING` sets is for the process that was started with it, not for its children.
    """
    kept = {name: value for name, value in os.environ.items() if WAITING.get(name) != value}
    kept |= {"PYTHONSAFEPATH": "1", **more}
    if path := absolute_python_path(os.environ):
        kept["PYTHONPATH"] = path
    else:
        kept.pop("PYTHONPATH", None)
    return kept


def _command(parent: str, module: str, arguments: tuple[str, ...]) -> list[str]:
    flags = ["-P"]
    if sys.flags.ignore_environment:
        flags.append("-E")
    if sys.flags.no_user_site:
        flags.append("-s")
    return [sys.executable, *flags, str(Path(child_main.__file__).resolve()), parent, module, *arguments]
