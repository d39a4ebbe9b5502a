"""The calls into macOS itself: notify(3), sysctl(3) and two command-line tools. All that no recording can test."""

import ctypes
import os
import select
import subprocess
from collections.abc import Callable, Sequence

_COMMAND_DEADLINE_S = 5.0
_OK = 0


class MacSystem:
    """The running Mac. Every method raises OSError where the system refuses."""

    def __init__(self) -> None:
        """Load libSystem. Raises OSError on systems other than macOS."""
        self._library = ctypes.CDLL("/usr/lib/libSystem.B.dylib", use_errno=True)

    def notify_state(self, key: str) -> int:
        """The 64-bit state that was last set for a notify(3) key."""
        token = ctypes.c_int()
        self._check(key, self._library.notify_register_check(key.encode(), ctypes.byref(token)))
        try:
            state = ctypes.c_uint64()
            self._check(key, self._library.notify_get_state(token, ctypes.byref(state)))
        finally:
            self._library.notify_cancel(token)
        return state.value

    def open_notice(self, key: str) -> "NotifyWake":
        """A descriptor that becomes readable when the key is posted."""
        descriptor, token = ctypes.c_int(), ctypes.c_int()
        status = self._library.notify_register_file_descriptor(
            key.encode(), ctypes.byref(descriptor), 0, ctypes.byref(token)
        )
        self._check(key, status)
        os.set_blocking(descriptor.value, False)
        return NotifyWake(key, descriptor.value, lambda: self._library.notify_cancel(token))

    def process_thermal_state(self) -> int:
        """NSProcessInfo.processInfo.thermalState, through the Objective-C runtime."""
        ctypes.CDLL("/System/Library/Frameworks/Foundation.framework/Foundation")
        runtime = ctypes.CDLL("/usr/lib/libobjc.A.dylib")
        for look_up in (runtime.objc_getClass, runtime.sel_registerName):
            look_up.argtypes, look_up.restype = [ctypes.c_char_p], ctypes.c_void_p
        # objc_msgSend has the type of the method that it calls: both take nothing and fit a pointer's width.
        send = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p)(("objc_msgSend", runtime))
        info = send(runtime.objc_getClass(b"NSProcessInfo"), runtime.sel_registerName(b"processInfo"))
        if not info:
            raise OSError("Foundation gives no NSProcessInfo")
        return int(send(info, runtime.sel_registerName(b"thermalState")))

    def sysctl_int(self, name: str) -> int:
        """An integer sysctl of 4 bytes, by its name."""
        value = ctypes.c_int32()
        size = ctypes.c_size_t(ctypes.sizeof(value))
        if self._library.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0) != _OK:
            code = ctypes.get_errno()
            raise OSError(code, f"sysctl {name}: {os.strerror(code)}")
        return value.value

    def output_of(self, command: Sequence[str]) -> bytes:
        """A command's standard output; one that fails or takes longer than its deadline raises."""
        try:
            done = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_COMMAND_DEADLINE_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise OSError(f"{command[0]} did not answer within {_COMMAND_DEADLINE_S:g} s") from None
        if done.returncode != 0:
            raise OSError(f"{command[0]} ended with code {done.returncode}: {done.stderr.decode().strip()[:200]}")
        return done.stdout

    def _check(self, key: str, status: int) -> None:
        if status != _OK:
            raise OSError(f"notify key {key}: status {status}")


class NotifyWake:
    """The key that was posted is the topic (tidegate_drivers.wake.Wake)."""

    poll_mask = select.POLLIN

    def __init__(self, key: str, descriptor: int, cancel: Callable[[], object]) -> None:
        self._key = key
        self._descriptor = descriptor
        self._cancel = cancel

    def fileno(self) -> int:
        """The descriptor to which notify(3) writes a token at each post."""
        return self._descriptor

    def drain(self) -> frozenset[str]:
        """Take the tokens that wait: each post writes one of 4 bytes."""
        try:
            while os.read(self._descriptor, 4096):
                pass
        except BlockingIOError:
            pass
        return frozenset({self._key})

    def close(self) -> None:
        """Cancel the registration, which closes the descriptor."""
        self._cancel()
