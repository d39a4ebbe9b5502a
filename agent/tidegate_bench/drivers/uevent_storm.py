"""The sampler in a storm of uevents: `python -m tidegate_bench.drivers.uevent_storm ROOT SECONDS RATE`.

It runs under unshare -n and prints one JSON object: the CPU used in quiet and in the storm, and when after the
last event the state was right.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from tidegate import child
from tidegate_drivers.linux import power_supply
from tidegate_drivers.linux.uevents import Uevents
from tidegate_drivers.reading import POWER_SOURCE
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.sensor import Discovery, WakeOn

_SENDER = "tidegate_drivers.testing.uevent_sender"
_QUIET_S = 3.0
_LAST_STATE_WITHIN_S = 10.0


def listening(root: Path) -> Discovery:
    """The power supplies of a tree, heard through netlink as on a live system."""
    wake_on = (WakeOn(Uevents, frozenset({"power_supply"})),)
    return replace(power_supply.discover(root), again=partial(listening, root), wake_on=wake_on)


def main() -> None:
    """Run the storm."""
    root, seconds, rate = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    online = root / "sys/class/power_supply/AC/online"
    sampler = Sampler([listening(root)])
    sampler.start()
    time.sleep(1)
    quiet_share = _cpu_share(lambda: time.sleep(_QUIET_S))
    command = child.command(_SENDER, str(rate), str(seconds))
    sender = subprocess.Popen(command, env=child.environment())
    storm_share = _cpu_share(sender.wait)
    # The last change comes with one last event, as the plug that ends a storm does.
    online.write_text("1\n")
    changed_at = time.monotonic()
    subprocess.run(child.command(_SENDER, "1", "1"), check=True, env=child.environment())
    right_after_s = None
    while time.monotonic() - changed_at < _LAST_STATE_WITHIN_S:
        if sampler.snapshot().word(POWER_SOURCE) == "external":
            right_after_s = time.monotonic() - changed_at
            break
        time.sleep(0.01)
    sampler.stop()
    result = {
        "sent": int(rate * seconds),
        "sender_failed": sender.returncode != 0,
        "quiet_cpu_percent": quiet_share * 100,
        "storm_cpu_percent": storm_share * 100,
        "last_state_right_after_s": right_after_s,
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _cpu_share(run: Callable[[], object]) -> float:
    began_at, used_s = time.monotonic(), time.process_time()
    run()
    return (time.process_time() - used_s) / (time.monotonic() - began_at)


if __name__ == "__main__":
    main()
