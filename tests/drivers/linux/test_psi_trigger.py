"""PSI triggers on this machine's kernel, where it has them."""

import base64
from pathlib import Path

import pytest

from tidegate_drivers.linux.psi_trigger import TOPIC, PsiTrigger, open_memory_trigger

PRESSURE = Path("/proc/pressure/memory")


@pytest.fixture
def trigger() -> PsiTrigger:
    try:
        return PsiTrigger(PRESSURE)
    except OSError as error:
        pytest.skip(f"NOT RUN: no PSI triggers here ({error})")


def test_kernel_takes_the_trigger(trigger: PsiTrigger) -> None:
    try:
        assert trigger.fileno() > 2
        assert trigger.drain() == {TOPIC}
    finally:
        trigger.close()


def test_window_that_the_kernel_refuses_is_an_error(trigger: PsiTrigger) -> None:
    trigger.close()
    with pytest.raises(OSError, match="Invalid argument"):
        PsiTrigger(PRESSURE, b"some 2 1")


def test_systemd_names_file_and_threshold(tmp_path: Path) -> None:
    watched = tmp_path / "memory.pressure"
    watched.touch()
    threshold = base64.b64encode(b"some 150000 2000000\0").decode()
    environment = {"MEMORY_PRESSURE_WATCH": str(watched), "MEMORY_PRESSURE_WRITE": threshold}
    open_memory_trigger(environment).close()
    assert watched.read_bytes() == b"some 150000 2000000\0"


@pytest.mark.parametrize(
    "environment",
    [
        {"MEMORY_PRESSURE_WATCH": "/dev/null"},
        {"MEMORY_PRESSURE_WATCH": "/no/such/file"},
        {"MEMORY_PRESSURE_WATCH": "/dev/zero", "MEMORY_PRESSURE_WRITE": "!"},
    ],
)
def test_what_can_not_be_opened_leaves_the_polls(environment: dict[str, str]) -> None:
    with pytest.raises(OSError, match=r".+"):
        open_memory_trigger(environment)
