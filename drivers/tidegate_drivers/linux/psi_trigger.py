"""Pressure stall triggers: the kernel says at once when tasks lose time (kernel: accounting/psi.rst)."""

import base64
import binascii
import os
import select
from collections.abc import Mapping
from pathlib import Path

TOPIC = "pressure"
# Without CAP_SYS_RESOURCE the window must be a multiple of 2 s (tried: 0.5 s and 1 s are EINVAL).
_WINDOW_US = 2_000_000
_STALL_US = 200_000
_OWN = f"some {_STALL_US} {_WINDOW_US}".encode()


class PsiTrigger:
    """Ready whenever tasks lost a tenth of a 2 s window waiting for memory."""

    poll_mask = select.POLLPRI

    def __init__(self, pressure_file: Path, threshold: bytes = _OWN) -> None:
        """Raises OSError where PSI is off or its file may not be written."""
        self._descriptor = os.open(pressure_file, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # The kernel wants the string's end with it.
            os.write(self._descriptor, threshold + b"\0")
        except OSError:
            os.close(self._descriptor)
            raise

    def fileno(self) -> int:
        """The descriptor that carries the trigger; closing it takes the trigger back."""
        return self._descriptor

    def drain(self) -> frozenset[str]:
        """The topic, always: the kernel clears its own notice. Raises OSError when the cgroup is gone."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLPRI)
        if any(events & select.POLLERR for _, events in poll.poll(0)):
            raise OSError("the pressure file's cgroup is gone")
        return frozenset({TOPIC})

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def open_memory_trigger(environment: Mapping[str, str] = os.environ) -> PsiTrigger:
    """The trigger that systemd asks for (MEMORY_PRESSURE_WATCH), else the machine's. Raises OSError."""
    watch = environment.get("MEMORY_PRESSURE_WATCH", "")
    if watch == "/dev/null":
        raise OSError("the service manager switched memory pressure notices off")
    if not watch:
        return PsiTrigger(Path("/proc/pressure/memory"))
    try:
        threshold = base64.b64decode(environment.get("MEMORY_PRESSURE_WRITE", ""), validate=True)
    except binascii.Error as error:
        raise OSError(f"MEMORY_PRESSURE_WRITE is not base64: {error}") from error
    # systemd's own string ends with its newline or its null already.
    return PsiTrigger(Path(watch), threshold.rstrip(b"\0") or _OWN)
