"""The gating rules that the ladder benchmark compares: settings of one network, from most operations to least."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.calibration.assemble.chain_choice import better_strategy, within_each
from tidegate.calibration.assemble.plan import ALPHAS
from tidegate.calibration.data.passes import forward_all
from tidegate.calibration.fit.exit_answers import exit_answers
from tidegate.calibration.fit.exit_heads import FittedExits
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.exit_times import ExitTime, ExitTimes
from tidegate.calibration.search.cascade_chain import cascade_chain
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.greedy_search import Search
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.search_space import SearchSpace, stand_ins_of
from tidegate.calibration.search.strategy import SearchStrategy
from tidegate.calibration.target_engine import target_engines
from tidegate.engines.engine import REFERENCE, Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import mean_abs
from tidegate.models.graph.flops import segment_flops
from tidegate.models.ladder import StandIn
from tidegate.models.network import TrainedNetwork, blocks_of
from tidegate_bench.ladder.learned_thresholds import ThresholdLearner

OBJECTIVE = Objective(flops_share=1.0, count_decisions=False, max_disagreement=0.5, lookahead=6)
"""Operations alone, so that all rules are compared at equal ones; on to where the answers fall apart."""

RANDOM_DRAWS = 5
QUANTILES = tuple(np.linspace(0.05, 0.95, 19))
PRICES = (0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class Subject:
    """One trained network with what may be looked at to set its gates."""

    exits: FittedExits
    inputs: Array
    seed: int

    @property
    def network(self) -> TrainedNetwork:
        """The network with stand-ins and exits."""
        return self.exits.network

    @property
    def identities(self) -> tuple[str, ...]:
        """Blocks that may pass their input on."""
        return tuple(block.name for block in blocks_of(self.network) if block.skippable)


Rule = Callable[[Subject], Sequence[KnobSettings]]


def ladder(subject: Subject) -> list[KnobSettings]:
    """All that the search has: stand-ins, thresholds and exits, along the strategy that S says is best."""
    search = Search(subject.network, SearchSpace.of(subject.network), subject.inputs, OBJECTIVE)
    chains = {SearchStrategy.GREEDY: search.chain(), SearchStrategy.CASCADE: _cascade(subject)}
    candidates = {strategy: within_each(chain, OBJECTIVE, ALPHAS) for strategy, chain in chains.items()}
    ratios = {strategy: [OBJECTIVE.cost(step.cost) for step in steps] for strategy, steps in candidates.items()}
    return [step.setting for step in chains[better_strategy(candidates, ratios, OBJECTIVE)]]


def static(subject: Subject) -> list[KnobSettings]:
    """Blocks left out for all samples, in the order of a search that measures again after each."""
    return _chain(subject, SearchSpace(dict.fromkeys(subject.identities, (StandIn.IDENTITY,)), rates=(0.0, 1.0)))


def static_with_stand_ins(subject: Subject) -> list[KnobSettings]:
    """The same, with what stands in chosen for each."""
    return _chain(subject, SearchSpace(stand_ins_of(subject.network), rates=(0.0, 1.0)))


def cascade(subject: Subject) -> list[KnobSettings]:
    """Exits and nothing else, all of them set jointly."""
    return [step.setting for step in _cascade(subject)]


def margin(subject: Subject) -> list[KnobSettings]:
    """Exits and nothing else, one step of one exit at a time."""
    return _chain(subject, SearchSpace({}, exits=tuple(subject.network.exit_heads)))


def paper(subject: Subject) -> list[KnobSettings]:
    """The routing paper's gate: one threshold on mean |x| for all blocks."""
    scores = _scores(subject)
    pooled = np.concatenate(list(scores.values()))
    taus = [float(np.quantile(pooled, share)) for share in QUANTILES]
    return [KnobSettings(), *(KnobSettings(thresholds=dict.fromkeys(subject.identities, tau)) for tau in taus)]


def quantile(subject: Subject) -> list[KnobSettings]:
    """The paper's activity with a threshold for each block, at equal shares of skipped samples."""
    scores = _scores(subject)
    return [KnobSettings()] + [
        KnobSettings(thresholds={block: float(np.quantile(scores[block], share)) for block in subject.identities})
        for share in QUANTILES
    ]


def learned(subject: Subject) -> list[KnobSettings]:
    """The paper's activity with thresholds learned under rising prices on operations."""
    learner = ThresholdLearner(subject.network, subject.inputs)
    return [KnobSettings(), *(learner.learn(price) for price in PRICES)]


def random(subject: Subject) -> list[KnobSettings]:
    """Blocks left out at random: several draws for each number of them."""
    rng = np.random.default_rng(subject.seed)
    blocks = np.array(subject.identities)
    return [KnobSettings()] + [
        KnobSettings(skip=frozenset(rng.choice(blocks, count, replace=False).tolist()))
        for count in range(1, len(blocks) + 1)
        for _ in range(RANDOM_DRAWS)
    ]


RULES: Mapping[str, Rule] = {
    "ladder": ladder,
    "static + stand-ins": static_with_stand_ins,
    "exits set jointly": cascade,
    "margin exits": margin,
    "static": static,
    "activity, learned": learned,
    "activity, per block": quantile,
    "activity, paper": paper,
    "random": random,
}

BASELINES = ("random", "static", "activity, paper")


def _cascade(subject: Subject) -> tuple[ChainStep, ...]:
    """With operations in the place of times, as all rules are compared by them."""
    network = subject.network
    flops = {each.name: segment_flops(each, network.weight_shapes) for each in network.segments}
    before = dict(zip(flops, np.cumsum([0, *flops.values()]).tolist(), strict=False))
    exits = {
        block: ExitTime(before[block], segment_flops(head, network.weight_shapes))
        for block, head in network.exit_heads.items()
    }
    search = Search(network, SearchSpace.of(network), subject.inputs, OBJECTIVE)
    full = search.precisions()
    whole = sum(flops.values())
    (eager,) = target_engines([REFERENCE])
    answers = exit_answers(subject.exits, KnobSettings(), subject.inputs, eager)
    limit = OBJECTIVE.max_disagreement
    steps = cascade_chain(
        full[-1],
        subject.exits,
        answers,
        ExitTimes(whole, exits),
        whole,
        OBJECTIVE.risk,
        None,
        limit,
        search.measured,
    )
    return (*full, *steps)


def _chain(subject: Subject, space: SearchSpace) -> list[KnobSettings]:
    return [step.setting for step in Search(subject.network, space, subject.inputs, OBJECTIVE).chain()]


def _scores(subject: Subject) -> dict[str, Array]:
    """Activity before every block that may be skipped, in the full network, (samples,) each."""
    scores: dict[str, list[Array]] = {block: [] for block in subject.identities}

    def watch(block: str, seen: GateInput) -> None:
        if block in scores:
            scores[block].append(mean_abs(seen.x).numpy())

    forward_all(EagerEngine(subject.network).build(KnobSettings()), subject.inputs, watch)
    return {block: np.concatenate(values) for block, values in scores.items()}
