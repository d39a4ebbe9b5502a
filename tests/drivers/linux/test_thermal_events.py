"""The thermal family of generic netlink: asked of the real kernel; its events are written after its header."""

import errno
import os
import platform
import socket

import pytest

from tidegate_drivers.linux import genetlink
from tidegate_drivers.linux.genetlink import COMMAND, HEADER, NETLINK_GENERIC, attribute, group_id, group_of
from tidegate_drivers.linux.thermal_events import TOPIC, ThermalEvents, topic_of

only_linux = pytest.mark.skipif(platform.system() != "Linux", reason="NOT RUN: netlink is Linux's")

UP, DOWN, COOLING_STATE, CPU_CAPABILITY = 5, 6, 12, 14


def event(command: int) -> bytes:
    """As the kernel sends it: zone 0 and trip 1."""
    body = COMMAND.pack(command, 1, 0) + attribute(2, b"\0\0\0\0") + attribute(5, b"\1\0\0\0")
    return HEADER.pack(HEADER.size + len(body), 0x13, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("message", "topic"),
    [(event(UP), TOPIC), (event(DOWN), TOPIC), (event(COOLING_STATE), ""), (event(CPU_CAPABILITY), ""), (b"", "")],
)
def test_only_zones_and_trips_are_news(message: bytes, topic: str) -> None:
    assert topic_of(message) == topic


def test_group_is_found_by_its_name() -> None:
    groups = [attribute(2, number.to_bytes(4, "little")) + attribute(1, name) for number, name in GROUPS]
    nested = b"".join(attribute(index + 1, group) for index, group in enumerate(groups))
    answer = bytes(HEADER.size) + COMMAND.pack(1, 2, 0) + attribute(2, b"thermal\0") + attribute(7, nested)
    assert group_of(answer, "event") == 3
    with pytest.raises(OSError, match="no group 'trips'"):
        group_of(answer, "trips")


GROUPS = [(2, b"sampling\0"), (3, b"event\0")]


@only_linux
def test_the_kernel_knows_its_own_families() -> None:
    assert group_id("nlctrl", "notify") == genetlink._NLCTRL
    with pytest.raises(FileNotFoundError):
        group_id("no such family", "event")


@only_linux
def test_events_come_from_the_kernel_alone() -> None:
    try:
        wake = ThermalEvents()
    except OSError as error:
        pytest.skip(f"NOT RUN: this kernel has no thermal events ({error})")
    try:
        assert wake.drain() == frozenset()
        if os.geteuid() == 0:  # who may send to a group as well
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as forger:
                forger.bind((0, 0))
                forger.sendto(event(UP), (0, 1 << (group_id("thermal", "event") - 1)))
            received = wake._socket.recv(8192, socket.MSG_PEEK)
            assert topic_of(received) == TOPIC
            assert wake.drain() == frozenset()
    finally:
        wake.close()


def test_refusal_of_the_kernel_is_its_errno() -> None:
    refused = HEADER.pack(HEADER.size + 4, 2, 0, 0, 0) + (-errno.ENOENT).to_bytes(4, "little", signed=True)
    with pytest.raises(FileNotFoundError):
        group_of(refused, "event")
