"""The ways in which a file of sysfs can fail, as the fault tree knows them."""

import errno

CONTROL = ".control"
SLOW_S = 0.05
HANG_S = 60.0

ERRORS = {
    name: getattr(errno, name)
    for name in ("EIO", "ENODATA", "ENODEV", "ENXIO", "EACCES", "EAGAIN", "ETIMEDOUT")
    if hasattr(errno, name)
}
CONTENTS = {
    "empty": b"",
    "newline": b"\n",
    "garbage": b"\xff\x00#!?\n",
    "words": b"not a number\nat all\n",
    "huge": b"9" * 1_000_000,
}
VANISHED = "vanished"
"""Listed in its directory, and not there when opened."""
SLOW = "slow"
HANG = "hang"
"""For tests of the sampler; no matrix could wait for it."""


KINDS = {
    "fails": ("EIO", "EACCES", "EAGAIN", "ETIMEDOUT"),
    "gone": ("ENODATA", "ENODEV", "ENXIO", VANISHED),
    "nonsense": tuple(CONTENTS),
    "slow": (SLOW,),
}
"""All that a matrix goes through, as a table groups it. By those of `gone` a device says that nothing is there."""
