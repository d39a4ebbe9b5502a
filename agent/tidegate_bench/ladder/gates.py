"""The gating rules that the ladder benchmark compares: each gives settings of one network, from dear to cheap."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidegate.calibration.assemble.plan import ALPHAS
from tidegate.calibration.data.batches import forward_all
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.chain_choice import best_strategy
from tidegate.calibration.search.greedy_search import Search
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.search_space import SearchSpace, stand_ins_of
from tidegate.calibration.search.strategy import SearchStrategy
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import mean_abs
from tidegate.models.ladder import StandIn
from tidegate.models.network import Network, blocks_of
from tidegate_bench.ladder.learned_thresholds import ThresholdLearner

OBJECTIVE = Objective(flops_share=1.0, count_decisions=False, max_disagreement=0.5, lookahead=6)
"""Operations alone, so that all rules are compared at equal ones; on to where the answers fall apart."""

RANDOM_DRAWS = 5
QUANTILES = tuple(np.linspace(0.05, 0.95, 19))
PRICES = (0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class Bench:
    """One trained network with what may be looked at to set its gates."""

    network: Network
    inputs: Array
    seed: int

    @property
    def identities(self) -> tuple[str, ...]:
        """Blocks that may pass their input on."""
        return tuple(block.name for block in blocks_of(self.network) if block.skippable)


Rule = Callable[[Bench], Sequence[KnobSettings]]


def ladder(bench: Bench) -> list[KnobSettings]:
    """All that the search has: stand-ins, thresholds and exits, along the strategy that S says is best."""
    search = Search(bench.network, SearchSpace.of(bench.network), bench.inputs, OBJECTIVE)
    chains = {strategy: search.chain(strategy) for strategy in SearchStrategy}
    return [step.setting for step in chains[best_strategy(chains, OBJECTIVE, ALPHAS)]]


def static(bench: Bench) -> list[KnobSettings]:
    """Blocks left out for all samples, in the order of a search that measures again after each."""
    return _chain(bench, SearchSpace(dict.fromkeys(bench.identities, (StandIn.IDENTITY,)), rates=(0.0, 1.0)))


def static_with_stand_ins(bench: Bench) -> list[KnobSettings]:
    """The same, with what stands in chosen for each."""
    return _chain(bench, SearchSpace(stand_ins_of(bench.network), rates=(0.0, 1.0)))


def margin(bench: Bench) -> list[KnobSettings]:
    """Exits and nothing else."""
    return _chain(bench, SearchSpace({}, exits=tuple(bench.network.exit_heads)))


def paper(bench: Bench) -> list[KnobSettings]:
    """The routing paper's gate: one threshold on mean |x| for all blocks."""
    scores = _scores(bench)
    pooled = np.concatenate(list(scores.values()))
    taus = [float(np.quantile(pooled, share)) for share in QUANTILES]
    return [KnobSettings(), *(KnobSettings(thresholds=dict.fromkeys(bench.identities, tau)) for tau in taus)]


def quantile(bench: Bench) -> list[KnobSettings]:
    """The paper's activity with a threshold for each block, at equal shares of skipped samples."""
    scores = _scores(bench)
    return [KnobSettings()] + [
        KnobSettings(thresholds={block: float(np.quantile(scores[block], share)) for block in bench.identities})
        for share in QUANTILES
    ]


def learned(bench: Bench) -> list[KnobSettings]:
    """The paper's activity with thresholds learned under rising prices on operations."""
    learner = ThresholdLearner(bench.network, bench.inputs)
    return [KnobSettings(), *(learner.learn(price) for price in PRICES)]


def random(bench: Bench) -> list[KnobSettings]:
    """Blocks left out by lot: several draws for each number of them."""
    rng = np.random.default_rng(bench.seed)
    blocks = np.array(bench.identities)
    return [KnobSettings()] + [
        KnobSettings(skip=frozenset(rng.choice(blocks, count, replace=False).tolist()))
        for count in range(1, len(blocks) + 1)
        for _ in range(RANDOM_DRAWS)
    ]


RULES: Mapping[str, Rule] = {
    "ladder": ladder,
    "static + stand-ins": static_with_stand_ins,
    "margin exits": margin,
    "static": static,
    "activity, learned": learned,
    "activity, per block": quantile,
    "activity, paper": paper,
    "random": random,
}

BASELINES = ("random", "static", "activity, paper")


def _chain(bench: Bench, space: SearchSpace) -> list[KnobSettings]:
    return [step.setting for step in Search(bench.network, space, bench.inputs, OBJECTIVE).chain()]


def _scores(bench: Bench) -> dict[str, Array]:
    """Activity before every block that may be skipped, in the full network, (samples,) each."""
    scores: dict[str, list[Array]] = {block: [] for block in bench.identities}

    def watch(block: str, seen: GateInput) -> None:
        if block in scores:
            scores[block].append(mean_abs(seen.x).numpy())

    forward_all(EagerEngine(bench.network).build(KnobSettings()), bench.inputs, watch)
    return {block: np.concatenate(values) for block, values in scores.items()}
