"""Sensors of what sits beside the processor in a machine and has a heat of its own."""

import re

_DEVICE = re.compile(
    r"iwlwifi.*|ath[0-9]+k.*|mt7[0-9]{3}.*phy.*|mt76.*|rtw.*|brcm(f|s)mac.*|b43.*|mlx.*|cxgb.*|bnxt.*|i350.*|i210.*|r81[0-9]+.*"
    r"|.*mdiomii.*|nvme.*|drivetemp.*|mtkts(wmt|pa|btsnrpa).*|amdgpu|radeon|nouveau|xe|i915",
    re.IGNORECASE,
)
_DEVICE_WORDS = frozenset(
    ("wifi", "wlan", "wwan", "lte", "ssd", "hdd", "disk", "sata", "sfp", "phy", "eth", "psu")
)
_SUPPLY = re.compile(r"mtkts(battery|charger|bif).*", re.IGNORECASE)
_SUPPLY_WORDS = {"bat", "batt", "battery", "bms", "chg", "chgr", "charger", "usb", "usbc", "typec", "wlc", "gauge"}
_WORD = re.compile(r"[a-z]+")


def is_of_device(name: str) -> bool:
    """Whether a zone or chip of this name is a radio's, a network card's, a disk's or a graphics card's."""
    return _DEVICE.fullmatch(name) is not None or bool(_DEVICE_WORDS & _words(name))


def is_of_supply(name: str) -> bool:
    """Whether it is a battery's or a charger's."""
    return _SUPPLY.fullmatch(name) is not None or bool(_SUPPLY_WORDS & _words(name))


def _words(name: str) -> set[str]:
    return set(_WORD.findall(name.lower()))
