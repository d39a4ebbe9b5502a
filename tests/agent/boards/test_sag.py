"""A board's profile that says how its supply gives way under current."""

from pathlib import Path

import pytest

from tidegate.boards import find_profile
from tidegate.documents import DocumentError

PROFILE = """\
tidegate_board: 1
name: node
title: A node
facts: [{fact: two cells, source: assumed}]
device:
  {idle: 1.6 W, active: 2 W, battery: 40 Wh, heat_k_per_w: 4, heat_span: 300 s, throttle: 85 C,
   throttle_release: 80 C, supply: 30 W,
   sag: {ohm: 0.9, full_volts: 8.4, empty_volts: 6, brown_out_volts: 5, reboot: 45 s}}
"""


def test_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(PROFILE)
    device = find_profile(str(file)).device
    assert (device.supply_ohm, device.full_v, device.empty_v) == (0.9, 8.4, 6.0)
    assert (device.brown_out_v, device.reboot_s) == (5.0, 45.0)


def test_a_board_without_it_never_loses_its_power(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(PROFILE[: PROFILE.index(",\n   sag:")] + "}\n")
    assert find_profile(str(file)).device.brown_out_v == 0.0


def test_voltages_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(PROFILE.replace("empty_volts: 6", "empty_volts: 4"))
    with pytest.raises(DocumentError, match="brown_out_volts below empty_volts"):
        find_profile(str(file))
