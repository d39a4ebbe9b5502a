"""The chain of settings that is certified on an engine: sought greedily and as a cascade of exits, the better
taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from tidegate.calibration.assemble.chain_choice import better_strategy, within_each
from tidegate.calibration.assemble.checkpoint import Checkpoint
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.candidate import candidate
from tidegate.calibration.certify.risk import Labels
from tidegate.calibration.fit.exit_heads import FittedExits
from tidegate.calibration.fit.min_max_observer import MinMaxObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.cpu_time import cpu_times_ms, turn_times_ms
from tidegate.calibration.measure.exit_times import NEVER, ExitTimes, measure_exit_times
from tidegate.calibration.progress import Progress
from tidegate.calibration.search.cascade_chain import cascade_chain
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.greedy_search import ChainStep, Search
from tidegate.calibration.search.search_space import search_space_of
from tidegate.calibration.search.strategy import SearchStrategy
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import Engine, UnsupportedPoint
from tidegate.models.bundle.evidence import Floats
from tidegate.models.graph.flops import segment_flops
from tidegate.models.network import TrainedNetwork

GREEDY_INPUTS = 300
"""Of part S, that a greedy search measures every move on."""

TIMED_INPUTS = 64
"""Of those, that times are measured on."""

EXITS_SUFFICE = 0.5
"""Of the time without exits: where a cascade takes less, at the middle one of the losses to certify, it is the
chain.
"""

WORTH_ANOTHER = 0.9
"""Another engine must take less than this share of the first one's time to be the one that a ladder is made
for.
"""


@dataclass(frozen=True, slots=True)
class ChosenChain:
    """A chain for one engine, and how it was sought."""

    strategy: SearchStrategy
    steps: tuple[ChainStep, ...]


class Chains:
    """Seeks chains of one network on part S: `inputs` (n, *input shape), of which the last are for greedy
    searches.
    """

    def __init__(
        self,
        exits: FittedExits,
        inputs: Floats,
        labels: Labels | None,
        plan: Plan,
        progress: Progress,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._exits = exits
        self._network: TrainedNetwork = exits.network
        self._labels = labels
        self._plan = plan
        self._progress = progress
        self._checkpoint = checkpoint
        self._judged = inputs[-min(GREEDY_INPUTS, max(len(inputs) // 2, 1)) :]
        self._space = search_space_of(self._network, plan.knobs, self._judged)
        self._beginning = Search(self._network, self._space, self._judged, plan.objective).precisions()
        self._observer = MinMaxObserver(self._network, self._judged)
        self._greedy: tuple[ChainStep, ...] | None = None

    def fastest(self, targets: Sequence[TargetEngine]) -> TargetEngine:
        """The engine that takes the least processor time for the chain's beginning; the first one if none is much
        faster."""
        if len(targets) == 1:
            return targets[0]
        setting = self._ranged(self._beginning[-1].setting)
        variants = [target.over(self._network).prepare(candidate(setting, target.name)) for target in targets]
        times = cpu_times_ms(variants, self._judged[:TIMED_INPUTS])
        best = min(range(len(times)), key=lambda index: times[index])
        chosen = best if times[best] < WORTH_ANOTHER * times[0] else 0
        told = ", ".join(f"{target.name} {ms:.3g} ms" for target, ms in zip(targets, times, strict=True))
        self._progress(f"processor time per input: {told}; the ladder is for {targets[chosen].name}")
        return targets[chosen]

    def best(self, target: TargetEngine) -> ChosenChain:
        """Of both chains the one that S says is better on the engine."""
        engine = target.over(self._network)
        try:
            times = self._times(target, engine)
        except UnsupportedPoint as error:
            self._progress(f"{target.name}: no times: {error}")
            return ChosenChain(SearchStrategy.GREEDY, self._greedy_chain(None))
        chains = {}
        if times.exits:
            chains[SearchStrategy.CASCADE] = self._cascade(times)
        if not chains or not self._suffices(chains[SearchStrategy.CASCADE]):
            chains[SearchStrategy.GREEDY] = self._greedy_chain(times)
        candidates = {
            strategy: within_each(chain, self._plan.objective, self._plan.alphas)
            for strategy, chain in chains.items()
        }
        ratios = {
            strategy: self._time_ratios(target, engine, steps, times) for strategy, steps in candidates.items()
        }
        chosen = better_strategy(candidates, ratios, self._plan.objective)
        if len(chains) > 1:
            told = "; ".join(
                f"{strategy} {', '.join(f'{ratio:.2f}' for ratio in own)}" for strategy, own in ratios.items()
            )
            self._progress(f"{target.name}: share of time at each loss to certify: {told}; the chain is: {chosen}")
        return ChosenChain(chosen, chains[chosen])

    def _suffices(self, cascade: Sequence[ChainStep]) -> bool:
        """Whether exits alone save so much that knobs turned one by one, which takes long, need not be tried."""
        alphas = self._plan.alphas
        ratio = within_each(cascade, self._plan.objective, alphas)[len(alphas) // 2].cost.time_ratio
        return ratio is not None and ratio < EXITS_SUFFICE

    def _times(self, target: TargetEngine, engine: Engine) -> ExitTimes:
        blocks = tuple(self._exits.answers) if Knob.EXITS in self._plan.knobs else ()
        setting = self._ranged(self._beginning[-1].setting, blocks)
        times = measure_exit_times(target, engine, setting, blocks, self._judged[:TIMED_INPUTS])
        if times.exits:
            own_us = median(each.own_ms for each in times.exits.values()) * 1e3
            self._progress(f"{target.name}: {times.whole_ms:.3g} ms, an exit {own_us:.2g} us of processor time")
        return times

    def _ranged(self, setting: KnobSettings, exits: Sequence[str] = ()) -> KnobSettings:
        """With ranges for all that the setting and these exits compute."""
        ranges = self._observer.ranges(replace(setting, exits=dict.fromkeys(exits, NEVER)))
        return replace(setting, ranges=ranges)

    def _greedy_chain(self, times: ExitTimes | None) -> tuple[ChainStep, ...]:
        """Sought once, with decisions weighing what they take on the first engine."""
        if self._greedy is not None:
            return self._greedy
        objective = self._plan.objective
        if times is not None and times.exits:
            own_ms = median(each.own_ms for each in times.exits.values())
            full_flops = sum(segment_flops(each, self._network.weight_shapes) for each in self._network.segments)
            objective = replace(objective, decision_flops=round(own_ms / times.whole_ms * full_flops))
        search = Search(self._network, self._space, self._judged, objective)
        found = () if self._checkpoint is None else self._checkpoint.steps()
        if found:
            self._progress(f"taking up an earlier search at step {len(found)}")
        for step in () if found else self._beginning:
            self._report(step)
        self._greedy = search.chain(self._report, found or self._beginning)
        return self._greedy

    def _report(self, step: ChainStep) -> None:
        if self._checkpoint is not None:
            self._checkpoint.add(step)
        self._progress(
            f"{step.move or 'full'}: loss {step.loss:.4f}, answers changed {step.disagreement:.1%}, "
            f"operations {step.cost.flops_ratio:.0%}, bytes {step.cost.memory_ratio:.0%}",
            share=1 - self._plan.objective.cost(step.cost),
        )

    def _cascade(self, times: ExitTimes) -> tuple[ChainStep, ...]:
        search = Search(self._network, self._space, self._judged, self._plan.objective)
        steps = cascade_chain(
            self._beginning[-1],
            self._exits,
            times,
            self._plan.objective.risk,
            self._labels,
            self._plan.objective.max_disagreement,
            search.measured,
        )
        return (*self._beginning, *steps)

    def _time_ratios(
        self, target: TargetEngine, engine: Engine, steps: Sequence[ChainStep], times: ExitTimes
    ) -> list[float]:
        """Processor time of steps over that of the chain's beginning."""
        settings = [self._ranged(step.setting, tuple(step.setting.exits)) for step in steps]
        settings = [replace(each, exits=step.setting.exits) for each, step in zip(settings, steps, strict=True)]
        variants = [engine.prepare(candidate(setting, target.name)) for setting in settings]
        # Means and not the quietest turn: turns differ by how many of their inputs leave early.
        found = turn_times_ms(variants, self._judged[:TIMED_INPUTS]).mean(axis=1)
        for variant in variants:
            variant.release()
        return [float(ms) / times.whole_ms for ms in found]
