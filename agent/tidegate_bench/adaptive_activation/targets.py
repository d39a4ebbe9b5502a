"""Latency and energy targets: the same greedy walk over input resolution and threads, costs measured here."""

from collections.abc import Iterator

import torch

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.resolution import runs_at
from tidegate.engines.reference.tracing import Tracer
from tidegate_bench.adaptive_activation.costs import NotMeasurable, energy_cost, latency_cost
from tidegate_bench.adaptive_activation.knobs import Choice, ResolutionKnob, ThreadsKnob
from tidegate_bench.adaptive_activation.problem import Adaptive, Cost, Data
from tidegate_bench.adaptive_activation.selection import greedy
from tidegate_bench.adaptive_activation.zoo_on_digits import Trained
from tidegate_bench.figures import Cell
from tidegate_drivers.energy_meter import NoMeter, find_energy_meter

RESOLUTIONS = ((32, 32), (28, 28), (24, 24), (20, 20), (16, 16))
THREADS = (1, 2)
TARGETS = (0.1, 0.25, 0.4)
MAX_RISK = 0.015
_INPUTS = 100

Row = dict[str, Cell]


def target_rows(model: str, trained: Trained, kind: str) -> Iterator[Row]:
    """A row per target share below fp32 at full resolution on one thread; `kind` is latency or energy.

    Sets torch's thread count for this process.
    """
    engine = EagerEngine(trained.network)
    inputs = trained.search.inputs[:_INPUTS]
    cost = _cost(kind, engine, trained)
    if isinstance(cost, NoMeter):
        yield {"model": model, "method": f"{kind} target", "verdict": f"not measurable: {cost.reason}"}
        return
    threads = torch.get_num_threads()
    tracer = Tracer(trained.network)
    reference = tracer.trace(KnobSettings(), inputs).outputs
    runnable = tuple(each for each in RESOLUTIONS if runs_at(trained.network, each))
    knobs = (ResolutionKnob(runnable), ThreadsKnob(THREADS))
    data = Data(inputs, trained.search.labels[:_INPUTS])
    problem = Adaptive(tracer, Choice(KnobSettings()), knobs, data, reference, cost)
    unit = "ms" if kind == "latency" else "mj"
    try:
        start = problem.measure((0, 0)).cost
        for target in TARGETS:
            step = greedy(problem, start * (1 - target), MAX_RISK).reaching(start * (1 - target))
            row: Row = {"model": model, "method": f"{kind} target", "target": target, f"full_{unit}": start}
            if step is None:
                yield row | {"verdict": "infeasible"}
                continue
            choice = problem.choice(step.positions)
            height, width = choice.setting.resolution or RESOLUTIONS[0]
            yield row | {
                f"reached_{unit}": step.trial.cost,
                "setting": f"{height}x{width}, {choice.threads} threads",
                "newly_wrong_in_search": step.trial.risk,
                "verdict": "met",
            }
    except NotMeasurable as error:
        yield {"model": model, "method": f"{kind} target", "verdict": f"not measurable: {error}"}
    finally:
        torch.set_num_threads(threads)


def _cost(kind: str, engine: EagerEngine, trained: Trained) -> Cost | NoMeter:
    if kind == "latency":
        return latency_cost(engine, trained.search.inputs)
    meter = find_energy_meter()
    return meter if isinstance(meter, NoMeter) else energy_cost(engine, trained.search.inputs, meter)
