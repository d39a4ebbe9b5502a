"""Which recorded tree shows a driver at work."""

from collections.abc import Iterator
from pathlib import Path

from tidegate_drivers.catalog import LINUX, Driver
from tidegate_drivers.sensor import Discovery
from tidegate_drivers.testing import device_tree


def working_drivers() -> Iterator[tuple[Driver, Discovery, Path]]:
    """Each Linux driver, what it finds in the first tree that it reads, and the root, there until the next."""
    waiting = list(LINUX)
    for name in device_tree.names():
        with device_tree.laid_out(name) as root:
            for driver in list(waiting):
                found = driver.discover(root)
                if found.sensors:
                    waiting.remove(driver)
                    yield driver, found, root


def survives_its_devices(found: Discovery, root: Path) -> bool:
    """Whether what was found is gone when all files are, and found again when they are back."""
    aside = root.with_name(f"{root.name}-aside")
    root.rename(aside)
    gone = found.again() if found.again is not None else found
    aside.rename(root)
    back = gone.again() if gone.again is not None else gone
    names, again = ([sensor.name for sensor in each.sensors] for each in (found, back))
    return not gone.sensors and names == again
