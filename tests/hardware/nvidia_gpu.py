"""A real NVIDIA GPU by its driver: `python tests/hardware/nvidia_gpu.py [FILE.json]`, from the repository's root.

Reads everything idle and under a load of its own (memory is filled over and over through the CUDA driver, without
a toolkit) and holds the readings against each other: the counter's rise against power over time, load, clock.
Needs nvidia-ml-py and the driver; exits 1 when something is wrong, 2 without a GPU.
"""

import ctypes
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "drivers"))

from tidegate_drivers import nvidia
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.sensor import Sensor

IDLE_S, LOAD_S, STEP_S = 5.0, 12.0, 0.2
FILLED_BYTES = 1 << 30
# The power reading is itself a mean over up to a second.
SETTLE_S = 2.0


@contextmanager
def load() -> Iterator[None]:
    """Keep the first GPU's memory busy in a thread. Raises OSError, RuntimeError."""
    cuda = ctypes.CDLL("libcuda.so.1")

    def check(name: str, code: int) -> None:
        if code:
            raise RuntimeError(f"{name}: CUDA error {code}")

    device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    check("cuInit", cuda.cuInit(0))
    check("cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), 0))
    check("cuDevicePrimaryCtxRetain", cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
    ended = threading.Event()
    failures: list[BaseException] = []

    def fill() -> None:
        try:
            check("cuCtxSetCurrent", cuda.cuCtxSetCurrent(context))
            check("cuMemAlloc", cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(FILLED_BYTES)))
            while not ended.is_set():
                for value in range(50):
                    words = ctypes.c_size_t(FILLED_BYTES // 4)
                    check("cuMemsetD32", cuda.cuMemsetD32_v2(memory, ctypes.c_uint(value), words))
                check("cuCtxSynchronize", cuda.cuCtxSynchronize())
            check("cuMemFree", cuda.cuMemFree_v2(memory))
        except RuntimeError as error:
            failures.append(error)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        cuda.cuDevicePrimaryCtxRelease_v2(device)
    if failures:
        raise failures[0]


def watch(sensors: dict[str, Sensor], seconds: float) -> dict[str, list[float | str | None]]:
    """What the sensors say, several times a second."""
    said: dict[str, list[float | str | None]] = {name: [] for name in sensors} | {"at": []}
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        said["at"].append(time.monotonic())
        for name, sensor in sensors.items():
            reading = read_sensor(sensor)
            said[name].append(reading.value if reading.value is not None else f"! {reading.reason}")
        time.sleep(STEP_S)
    return said


def driver_version() -> str:
    """The version of NVIDIA's driver."""
    nvml = import_module("pynvml")
    version = nvml.nvmlSystemGetDriverVersion()
    return version.decode() if isinstance(version, bytes) else str(version)


def value_of(said: float | str | None) -> float | str | None:
    """What was read, None where it was a reason."""
    return None if isinstance(said, str) and said.startswith("!") else said


def numbers(said: list[float | str | None]) -> list[float]:
    """Those that are numbers."""
    return [each for each in said if isinstance(each, float)]


def main() -> int:
    """Print what was found and what is wrong with it."""
    found = nvidia.discover()
    if not found.sensors:
        sys.stdout.write(
            f"no GPU: {[missing.reason for missing in found.unavailable] or 'nvidia-ml-py is missing'}\n"
        )
        return 2
    gpu = found.sensors[0].name.partition("/")[2]
    sensors = {each.name.partition("/")[0]: each for each in found.sensors if each.name.endswith(f"/{gpu}")}
    idle = watch(sensors, IDLE_S)
    with load():
        time.sleep(SETTLE_S)
        busy = watch(sensors, LOAD_S)
    cost_us = {}
    for name, sensor in sensors.items():
        began_at = time.perf_counter()
        for _ in range(50):
            read_sensor(sensor)
        cost_us[name] = round((time.perf_counter() - began_at) / 50 * 1e6, 1)
    times, watts, joules = (numbers(busy[name]) for name in ("at", "power", "energy_counter"))
    wrong = [f"{name}: {said[0]}" for name, said in busy.items() if said and str(said[0]).startswith("!")]
    if len(watts) == len(joules) == len(times) > 1:
        drawn_j = (joules[-1] - joules[0]) / (times[-1] - times[0]) if times[-1] > times[0] else 0.0
        mean_w = sum(watts) / len(watts)
        if abs(drawn_j - mean_w) > 0.15 * mean_w:
            wrong.append(f"the counter rises by {drawn_j:.1f} W, power says {mean_w:.1f} W")
        if mean_w <= sum(numbers(idle["power"])) / len(idle["power"]):
            wrong.append("it draws no more under load than idle")
    load_percent = numbers(busy["gpu"])
    if not load_percent or sum(load_percent) / len(load_percent) < 50:
        wrong.append(f"load under load: {load_percent[:5]}")
    clocks, idle_clocks = numbers(busy["frequency"]), numbers(idle["frequency"])
    if clocks and idle_clocks and max(clocks) < min(idle_clocks):
        wrong.append(f"clock idle {idle_clocks[0]:g} Hz, under load {clocks[0]:g} Hz")
    report = {
        "measured_on": datetime.now(UTC).date().isoformat(),
        "command": "python tests/hardware/nvidia_gpu.py",
        "gpu": gpu,
        "nvidia_driver": driver_version(),
        "drivers": {
            "nvidia": {
                "readings": {
                    each.name: {"value": value_of(busy[name][-1]), "unit": each.unit.value, "source": each.source}
                    for name, each in sensors.items()
                }
            }
        },
        "read_ms": {"nvidia": {sensors[name].name: round(each / 1000, 4) for name, each in cost_us.items()}},
        "idle": {name: said[-1] for name, said in idle.items()},
        "busy": {name: said[-1] for name, said in busy.items()},
        "throttle_reasons_seen": sorted({str(each) for each in idle["throttle_reason"] + busy["throttle_reason"]}),
        "wrong": wrong,
    }
    text = json.dumps(report, indent=2)
    sys.stdout.write(text + "\n")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
