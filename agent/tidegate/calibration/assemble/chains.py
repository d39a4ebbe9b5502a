"""The chain of settings that is certified on an engine: the better of a greedy one and a cascade of exits."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from statistics import median

from tidegate.calibration.assemble.cascade_base import CascadeBase, cascade_base
from tidegate.calibration.assemble.chain_choice import better_strategy, within_each
from tidegate.calibration.assemble.checkpoint import Checkpoint
from tidegate.calibration.assemble.engine_beginning import Beginning, EngineTrials, beginning_on
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.candidate import candidate, has_reduced_precision
from tidegate.calibration.fit.exit_answers import exit_answers
from tidegate.calibration.fit.exit_heads import FittedExits
from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.cpu_time import turn_times_ms
from tidegate.calibration.measure.exit_times import ExitTimes, measure_exit_times
from tidegate.calibration.progress import Progress
from tidegate.calibration.search.cascade_chain import cascade_chain
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.greedy_search import Search
from tidegate.calibration.search.search_space import SearchSpace, search_space_of
from tidegate.calibration.search.strategy import SearchStrategy
from tidegate.calibration.search.trials import Workers
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import REFERENCE, UnsupportedPoint, Variant
from tidegate.models.bundle.evidence import Floats, Truth
from tidegate.models.graph import Segment
from tidegate.models.graph.flops import segment_flops
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork

GREEDY_INPUTS = 300
"""Of part S, that a greedy search measures every move on."""

PRECISION_INPUTS = 1000
"""Of part S, that an engine's precisions are judged on: nothing is fitted for them but ranges."""

TIMED_INPUTS = 64
"""Of those, that times are measured on."""

EXITS_SUFFICE = 0.5
"""Of the time without exits: a cascade that takes less, at the middle loss to certify, is the chain."""

WORTH_ANOTHER = 0.9
"""Of the first engine's time: another must take less for the ladder to be made for it."""


def greedy_inputs(samples: int) -> int:
    """How many of S's samples, its last, judge a greedy search; stand-ins are fitted on the others."""
    return min(GREEDY_INPUTS, max(samples // 2, 1))


@dataclass(frozen=True, slots=True)
class ChosenChain:
    """A chain for one engine, how it was sought, and with which times; None where none could be measured."""

    strategy: SearchStrategy
    steps: tuple[ChainStep, ...]
    times: ExitTimes | None


class Chains:
    """Seeks chains of one network on S: `inputs` (n, *input shape), the last of which judge greedy searches.

    The `observer` has seen S. A greedy search's moves are tried by the `workers`, if there are any.
    """

    def __init__(
        self,
        exits: FittedExits,
        observer: HistogramObserver,
        inputs: Floats,
        labels: Truth | None,
        plan: Plan,
        progress: Progress,
        checkpoint: Checkpoint | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._exits = exits
        self._network: TrainedNetwork = exits.network
        self._labels = labels
        self._plan = plan
        self._progress = progress
        self._checkpoint = checkpoint
        self._workers = workers
        self._judged = inputs[-greedy_inputs(len(inputs)) :]
        self._space = search_space_of(self._network, plan.knobs, self._judged)
        # On eager; what engines make of it is sought for each.
        self._beginning = Search(self._network, self._space, self._judged, plan.objective).precisions()
        self._observer = observer
        self._inputs = inputs
        self._greedy: dict[str, tuple[ChainStep, ...]] = {}
        self._beginnings: dict[str, Beginning] = {}
        self._cascades: dict[str, tuple[CascadeBase, tuple[ChainStep, ...]] | None] = {}

    def fastest(self, targets: Sequence[TargetEngine]) -> TargetEngine:
        """The engine on which exits bring the least processor time at the middle one of the losses to certify.

        The first one, if none is much faster, or if none can run the network in 8 bits.
        """
        able = [target for target in targets if self._sought(target) is not None] if len(targets) > 1 else []
        if not able:
            return targets[0]
        times_ms = [self._middle_ms(target) for target in able]
        best = min(range(len(able)), key=lambda index: times_ms[index])
        chosen = best if times_ms[best] < WORTH_ANOTHER * times_ms[0] else 0
        told = ", ".join(f"{target.name} {ms:.3g} ms" for target, ms in zip(able, times_ms, strict=True))
        self._progress(f"processor time per input: {told}; the ladder is for {able[chosen].name}")
        return able[chosen]

    def best(self, target: TargetEngine) -> ChosenChain:
        """Of both chains the one that S says is better on the engine."""
        sought = self._sought(target)
        if sought is None:
            return ChosenChain(SearchStrategy.GREEDY, self._greedy_chain(), None)
        base, cascade = sought
        chains = {SearchStrategy.CASCADE: cascade} if base.times.exits else {}
        if not chains or not self._suffices(cascade):
            chains[SearchStrategy.GREEDY] = self._greedy_chain(target, base.beginning)
        chosen = None if self._checkpoint is None else self._checkpoint.chosen(target.identity)
        if chosen not in chains:
            chosen = self._better(chains, target) if len(chains) > 1 else next(iter(chains))
            if self._checkpoint is not None:
                self._checkpoint.add_chosen(target.identity, chosen)
        return ChosenChain(chosen, chains[chosen], base.times)

    def _better(
        self, chains: Mapping[SearchStrategy, Sequence[ChainStep]], target: TargetEngine
    ) -> SearchStrategy:
        objective = self._plan.objective
        candidates = {
            strategy: within_each(chain, objective, self._plan.alphas) for strategy, chain in chains.items()
        }
        found = iter(self._time_ratios(target, [step for steps in candidates.values() for step in steps]))
        ratios = {strategy: list(islice(found, len(steps))) for strategy, steps in candidates.items()}
        chosen = better_strategy(candidates, ratios, objective)
        told = "; ".join(
            f"{strategy} {', '.join(f'{ratio:.2f}' for ratio in own)}" for strategy, own in ratios.items()
        )
        self._progress(f"{target.name}: share of time at each loss to certify: {told}; the chain is: {chosen}")
        return chosen

    def _sought(self, target: TargetEngine) -> tuple[CascadeBase, tuple[ChainStep, ...]] | None:
        """A base on an engine, and the cascade sought from it; None where the engine can't run the beginning."""
        if target.name not in self._cascades:
            try:
                base = self._base(target)
                self._cascades[target.name] = base, self._cascade(target, base)
            except UnsupportedPoint as error:
                self._progress(f"{target.name}: no times: {error}")
                self._cascades[target.name] = None
        return self._cascades[target.name]

    def _middle_ms(self, target: TargetEngine) -> float:
        """What the cascade takes at the middle one of the losses to certify, on an engine that can run it."""
        sought = self._sought(target)
        assert sought is not None  # noqa: S101 - whoever asks has looked
        base, cascade = sought
        ratio = self._middle(cascade).cost.time_ratio
        return base.beginning.whole_ms * (1.0 if ratio is None else ratio)

    def _middle(self, chain: Sequence[ChainStep]) -> ChainStep:
        alphas = self._plan.alphas
        return within_each(chain, self._plan.objective, alphas)[len(alphas) // 2]

    def _suffices(self, cascade: Sequence[ChainStep]) -> bool:
        """Whether exits alone save so much that knobs turned one by one, which takes long, need not be tried."""
        ratio = self._middle(cascade).cost.time_ratio
        return ratio is not None and ratio < EXITS_SUFFICE

    @property
    def _heads(self) -> Mapping[str, Segment]:
        """Of the exits that the plan allows."""
        return self._network.exit_heads if Knob.EXITS in self._plan.knobs else {}

    def _base(self, target: TargetEngine) -> CascadeBase:
        """What a cascade on this engine starts from; exits, being in fp32, need no ranges."""
        setting = self._ranged(self._beginning_on(target).steps[-1].setting)
        timed = partial(self._times, target)
        if target.name == REFERENCE:
            times = timed(setting)
            base = CascadeBase(setting, times, times)
        else:
            base = cascade_base(self._network, setting, self._plan.objective, timed)
        if base.times.exits:
            own_us = median(each.own_ms for each in base.times.exits.values()) * 1e3
            whole = f"{base.beginning.whole_ms:.3g} ms"
            if base.times is not base.beginning:
                whole += f", {base.times.whole_ms:.3g} with parts in fp32"
            self._progress(f"{target.name}: {whole}, an exit {own_us:.2g} us of processor time")
        return base

    def _times(self, target: TargetEngine, setting: KnobSettings) -> ExitTimes:
        in_fp32 = [
            layer
            for segment in self._network.segments
            for layer in segment.layers
            if precision_of(setting, layer) is Precision.FP32
        ]
        key = f"{target.identity}, in fp32: {', '.join(in_fp32) or 'none'}"
        times = None if self._checkpoint is None else self._checkpoint.times(key)
        if times is None:
            engine = target.over(self._network)
            times = measure_exit_times(
                target, engine, self._ranged(setting), self._heads, self._judged[:TIMED_INPUTS]
            )
            if self._checkpoint is not None:
                self._checkpoint.add_times(key, times)
        return times

    def _ranged(self, setting: KnobSettings) -> KnobSettings:
        """With ranges for all that the setting computes."""
        return replace(setting, ranges=self._observer.ranges(setting))

    def _beginning_on(self, target: TargetEngine) -> Beginning:
        """Precisions alone, by what the engine answers. Raises UnsupportedPoint."""
        if target.name not in self._beginnings:
            kept = None if self._checkpoint is None else self._checkpoint.beginning(target.identity)
            found = self._sought_beginning(target) if kept is None else kept
            if self._checkpoint is not None and kept is None:
                self._checkpoint.add_beginning(target.identity, found)
            self._beginnings[target.name] = found
        return self._beginnings[target.name]

    def _sought_beginning(self, target: TargetEngine) -> Beginning:
        if target.name == REFERENCE or Knob.INT8 not in self._plan.knobs:
            return Beginning(self._beginning)
        objective = self._plan.objective
        ranges = self._ranged(self._beginning[-1].setting).ranges
        inputs = self._inputs[-PRECISION_INPUTS:]
        labels = None if self._labels is None else self._labels[-PRECISION_INPUTS:]
        trials = EngineTrials(target, self._network, inputs, labels, ranges, objective)
        search = Search(self._network, SearchSpace(), self._judged, objective)

        def told(text: str, share: float | None = None) -> None:
            self._progress(f"{target.name}: {text}", share)

        return beginning_on(
            trials, self._network, self._beginning, objective, min(self._plan.alphas), search.measured, told
        )

    def _greedy_chain(
        self, target: TargetEngine | None = None, times: ExitTimes | None = None
    ) -> tuple[ChainStep, ...]:
        """Sought once for all engines with the beginning of eager, with decisions weighing what they take on the
        first; for one with a beginning by layer its own, to which a step that is no better is not added."""
        own = None if target is None else self._beginnings.get(target.name)
        key, space, begins = "", self._space, self._beginning
        if own is not None and own.by_layer and target is not None:
            # Eager's view of precisions would undo the engine's.
            key, space, begins = target.name, replace(self._space, int8_groups=()), own.steps
        if key in self._greedy:
            return self._greedy[key]
        objective = self._plan.objective
        if times is not None and times.exits:
            own_ms = median(each.own_ms for each in times.exits.values())
            full_flops = sum(segment_flops(each, self._network.weight_shapes) for each in self._network.segments)
            objective = replace(objective, decision_flops=round(own_ms / times.whole_ms * full_flops))
        search = Search(self._network, space, self._judged, objective, self._workers)
        found = () if self._checkpoint is None else self._checkpoint.steps(key)
        if found:
            self._progress(f"taking up an earlier search at step {len(found)}")
        # Later steps are held against what eager loses.
        seen = (*begins[:-1], search.measured(begins[-1].setting, begins[-1].move)) if key else begins
        for step in () if found else seen:
            self._report(key, step)
        chain = search.chain(partial(self._report, key), found or seen)
        if own is not None and key:
            added = chain[len(begins) :]
            chain = (*begins, *(added or own.further))
        self._greedy[key] = chain
        return chain

    def _report(self, key: str, step: ChainStep) -> None:
        if self._checkpoint is not None:
            self._checkpoint.add(step, key)
        self._progress(
            f"{step.move or 'full'}: loss {step.loss:.4f}, answers changed {step.disagreement:.1%}, "
            f"operations {step.cost.flops_ratio:.0%}, bytes {step.cost.memory_ratio:.0%}",
            share=1 - self._plan.objective.cost(step.cost),
        )

    def _cascade(self, target: TargetEngine, base: CascadeBase) -> tuple[ChainStep, ...]:
        begins = self._beginning_on(target).steps
        if not base.times.exits:
            return begins
        setting = self._ranged(base.setting)
        search = Search(self._network, self._space, self._judged, self._plan.objective)
        steps = cascade_chain(
            replace(begins[-1], setting=setting),
            self._exits,
            exit_answers(self._exits, setting, self._inputs, target),
            base.times,
            base.beginning.whole_ms,
            self._plan.objective.risk,
            self._labels,
            self._plan.objective.max_disagreement,
            search.measured,
        )
        if not has_reduced_precision(base.setting):
            # Nothing behind is in 8 bits then: what loses answers by that would end the sequence of tests early.
            begins = (begins[0], *(step for step in begins[1:] if step.disagreement == 0))
        # A base all in fp32 is the full model, which the chain begins with.
        return *begins, *(step for step in steps if has_reduced_precision(step.setting) or step.setting.exits)

    def _time_ratios(self, target: TargetEngine, steps: Sequence[ChainStep]) -> list[float]:
        """Processor time of steps over that of the chain's beginning, all in the same turns, so that other load
        cancels out; 1 for one that the engine can't run. Steps with one setting have one figure."""
        engine = target.over(self._network)
        beginning, *wanted = [
            replace(step.setting, ranges={}) for step in (self._beginning_on(target).steps[-1], *steps)
        ]
        settings = [beginning]
        for setting in wanted:
            if setting not in settings:
                settings.append(setting)
        variants: dict[int, Variant] = {}
        for index, setting in enumerate(settings):
            with suppress(UnsupportedPoint):
                variants[index] = engine.prepare(candidate(self._ranged(setting), target.name))
        # Means and not the quietest turn: turns differ by how many of their inputs leave early.
        times_ms = turn_times_ms(list(variants.values()), self._judged[:TIMED_INPUTS]).mean(axis=1)
        means = dict(zip(variants, map(float, times_ms), strict=True))
        for variant in variants.values():
            variant.release()
        return [means[place] / means[0] if place in means else 1.0 for place in map(settings.index, wanted)]
