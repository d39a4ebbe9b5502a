"""`tidegate bench driver-cost`: the CPU that watching a device takes, and what a storm of events does to it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate import child
from tidegate_bench.broken import BrokenError
from tidegate_bench.drivers import trees
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_drivers.catalog import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.sensor import Discovery
from tidegate_drivers.testing import device_tree

ZONES, CHIPS, BATTERIES = 12, 8, 2
SNAPSHOTS_PER_S = 2.0
"""How often the control loop asks."""
_ROUNDS = 50
_STORM_RATE = 1000

_PSUTIL = f"""
import json, sys, time
import psutil
def all_sensors():
    return [psutil.sensors_temperatures(), psutil.sensors_fans(), psutil.sensors_battery(),
            psutil.virtual_memory(), psutil.cpu_times()]
found = all_sensors()
count = sum(len(each) for each in found[0].values()) + sum(len(each) for each in found[1].values())
began = time.process_time()
for _ in range({_ROUNDS}):
    all_sensors()
json.dump([count + 3, (time.process_time() - began) / {_ROUNDS}], sys.stdout)
"""


def tree() -> dict[str, bytes]:
    """A device with 12 zones, 8 hwmon chips of 3 channels and 2 batteries."""
    lines = ["proc/meminfo: MemTotal: 4000000 kB\\nMemAvailable: 1500000 kB"]
    lines += ["proc/stat: cpu  100 0 100 800 0 0 0 0 0 0", "proc/self/cgroup: 0::/system.slice/tidegate.service"]
    lines += ["proc/pressure/memory: some avg10=0.00 avg60=0.00 avg300=0.00 total=0"]
    for number in range(ZONES):
        zone = f"sys/class/thermal/thermal_zone{number}"
        lines += [f"{zone}/type: zone{number}-thermal", f"{zone}/temp: {40000 + 500 * number}"]
        lines += [f"{zone}/trip_point_0_type: passive", f"{zone}/trip_point_0_temp: 85000"]
    for number in range(CHIPS):
        chip = f"sys/class/hwmon/hwmon{number}"
        lines += [f"{chip}/name: chip{number}", f"{chip}/temp1_input: 41000", f"{chip}/temp1_label: die"]
        lines += [f"{chip}/temp2_input: 39000", f"{chip}/fan1_input: 1200"]
    for number in range(BATTERIES):
        battery = f"sys/class/power_supply/BAT{number}"
        lines += [f"{battery}/type: Battery", f"{battery}/scope: System", f"{battery}/status: Discharging"]
        lines += [f"{battery}/present: 1", f"{battery}/capacity: 50", f"{battery}/temp: 300"]
        lines += [f"{battery}/energy_now: 20000000", f"{battery}/energy_full: 40000000"]
        lines += [f"{battery}/power_now: 5000000", f"{battery}/voltage_now: 11800000"]
    lines += ["sys/class/power_supply/AC/type: Mains", "sys/class/power_supply/AC/online: 0"]
    return device_tree.parse("\n".join(lines))


def run(*, quick: bool) -> Figures:
    """Measure on a tree in a temporary directory. Raises BrokenError."""
    with TemporaryDirectory(prefix="tidegate-cost-") as directory:
        root = Path(directory)
        device_tree.write(tree(), root)
        share = _sampling_share(root, seconds=6 if quick else 60)
        passes = [_pass(found) for found in discover(root)]
        theirs = _psutil_pass(root)
        storm = _storm(root, seconds=3 if quick else 10)
    readings = sum(count for count, _ in passes)
    each_s = sum(seconds for _, seconds in passes)
    each_driver: list[Mapping[str, Cell]] = [
        {"what": f"tidegate, CPU of a read by {name} in us", "value": read_us}
        for name, read_us in costs_us().items()
    ]
    rows: list[Mapping[str, Cell]] = [
        {"what": "tidegate at its default rates, CPU of one core in %", "value": 100 * share},
        {"what": "tidegate, readings in one pass over everything", "value": readings},
        {"what": "tidegate, CPU of such a pass in ms", "value": 1000 * each_s},
        *each_driver,
        {"what": "psutil, readings in one call of each of its sensor functions", "value": theirs and theirs[0]},
        {"what": "psutil, CPU of such calls in ms", "value": theirs and 1000 * theirs[1]},
        *({"what": f"storm: {name.replace('_', ' ')}", "value": value} for name, value in storm.items()),
    ]
    ran = not storm.get("sender_failed", True)
    return Figures(
        bench="driver-cost",
        rows=rows,
        goals=[
            Goal("CPU of one core at the default rates in %", 0.3, 100 * share, at_least=False),
            Goal(
                f"CPU of one core at {_STORM_RATE} uevents a second in %",
                5.0,
                _number(storm.get("storm_cpu_percent")) if ran else None,
                at_least=False,
            ),
            Goal(
                "seconds until the last state after the storm",
                5.0,
                _number(storm.get("last_state_right_after_s")) if ran else None,
                at_least=False,
            ),
        ],
    )


def costs_us() -> dict[str, float]:
    """The CPU of one read by each Linux driver in us, each in the first recorded tree that it reads."""
    passes = {driver.name: _pass(found) for driver, found, _root in trees.working_drivers()}
    return {name: 1e6 * seconds / count for name, (count, seconds) in passes.items()}


def _sampling_share(root: Path, seconds: float) -> float:
    """The share of one core that a running sampler takes, with snapshots taken as often as in the agent."""
    sampler = Sampler(discover(root))
    sampler.start()
    time.sleep(2)
    began_at, used_s = time.monotonic(), time.process_time()
    while time.monotonic() - began_at < seconds:
        sampler.snapshot()
        time.sleep(1 / SNAPSHOTS_PER_S)
    share = (time.process_time() - used_s) / (time.monotonic() - began_at)
    sampler.stop()
    return share


def _pass(found: Discovery) -> tuple[int, float]:
    """How many sensors a driver has here, and the CPU seconds of reading each of them once."""
    used_s = time.process_time()
    for _ in range(_ROUNDS):
        for sensor in found.sensors:
            read_sensor(sensor)
    return len(found.sensors), (time.process_time() - used_s) / _ROUNDS


def _psutil_pass(root: Path) -> tuple[int, float] | None:
    """The same tree in psutil's eyes: its paths are fixed, so that the tree is mounted over them for it alone."""
    mount = f'mount --bind "{root}/sys/class" /sys/class && exec "$0" -P -c "$1"'
    done = _in_namespace("-m", ["sh", "-c", mount, sys.executable, _PSUTIL])
    if done is None:
        return None
    count, each_s = json.loads(done)
    return int(count), float(each_s)


def _storm(root: Path, seconds: float) -> dict[str, Cell]:
    arguments = child.independent_command(
        "tidegate_bench.drivers.uevent_storm", str(root), str(seconds), str(_STORM_RATE)
    )
    done = _in_namespace("-n", arguments)
    if done is None:
        return {"not run: needs Linux and the right to unshare": None}
    result: dict[str, Cell] = json.loads(done)
    return result


def _in_namespace(namespace: str, command: list[str]) -> str | None:
    """What the command says in a namespace of its own, None where that is not allowed. Raises BrokenError."""
    if shutil.which("unshare") is None:
        return None
    as_root = [] if os.geteuid() == 0 else ["-r"]
    unshare = ["unshare", *as_root, namespace]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        return None
    done = subprocess.run(
        [*unshare, *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=child.environment(),
    )
    if done.returncode != 0:
        raise BrokenError(
            f"{' '.join(command[:4])} ended with code {done.returncode}: {done.stderr.strip()[-400:]}"
        )
    return done.stdout


def _number(value: Cell) -> float | None:
    return float(value) if isinstance(value, int | float) else None
