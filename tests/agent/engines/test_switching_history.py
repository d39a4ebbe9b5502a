"""Whatever was prepared, run and released before, the full point answers bit by bit as at the start."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import settings
from hypothesis.stateful import Bundle as Live
from hypothesis.stateful import RuleBasedStateMachine, consumes, initialize, invariant, rule

from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.torch_variant import TorchVariant
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import OperatingPoint

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
# The shipped settings in eager's arithmetic.
SETTINGS = tuple(replace(point, engine="eager") for point in BUNDLE.ladder.points)
POINTS = st.sampled_from(SETTINGS)
INPUTS = BUNDLE.canaries().inputs
BATCHES = st.integers(1, len(INPUTS))


class Switching(RuleBasedStateMachine):
    """Variants come and go in any order, several alive at once."""

    variants: Live = Live("variants")

    @initialize()
    def start(self) -> None:
        self.engine = EagerEngine(BUNDLE)
        self.full = self.engine.prepare(BUNDLE.ladder.full)
        self.first = self.full.run(INPUTS).outputs.tobytes()
        self.weights = hash_of_weights()

    @rule(target=variants, point=POINTS)
    def prepare(self, point: OperatingPoint) -> TorchVariant:
        return self.engine.prepare(point)

    @rule(variant=variants, samples=BATCHES)
    def run(self, variant: TorchVariant, samples: int) -> None:
        answer = variant.run(INPUTS[:samples])
        assert answer.executed_blocks + answer.skipped_blocks == samples * len(BUNDLE.blocks)
        assert (answer.outputs.argmax(1) == BUNDLE.canaries().top1[variant.point.name][:samples]).all()

    @rule(variant=consumes(variants))
    def release(self, variant: TorchVariant) -> None:
        variant.release()

    @invariant()
    def full_is_what_it_was(self) -> None:
        assert self.full.run(INPUTS).outputs.tobytes() == self.first

    @invariant()
    def a_fresh_full_is_the_same(self) -> None:
        assert self.engine.prepare(BUNDLE.ladder.full).run(INPUTS).outputs.tobytes() == self.first

    @invariant()
    def master_weights_are_untouched(self) -> None:
        assert hash_of_weights() == self.weights


def hash_of_weights() -> int:
    return hash(tuple(array.tobytes() for array in BUNDLE.weights(BUNDLE.weight_shapes).values()))


Switching.TestCase.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
TestSwitching = Switching.TestCase


def test_preparing_in_another_thread_leaves_the_answers_alone() -> None:
    engine = EagerEngine(BUNDLE)
    full = engine.prepare(BUNDLE.ladder.full)
    first = full.run(INPUTS).outputs.tobytes()
    with ThreadPoolExecutor(max_workers=1) as pool:
        prepared = [pool.submit(engine.prepare, point) for point in SETTINGS * 3]
        while not all(future.done() for future in prepared):
            assert full.run(INPUTS).outputs.tobytes() == first
    for future in prepared:
        variant = future.result()
        again = engine.prepare(variant.point).run(INPUTS).outputs
        assert variant.run(INPUTS).outputs.tobytes() == again.tobytes()


def test_a_variant_that_runs_in_place_would_be_noticed() -> None:
    """The check above can fail: a weight changed behind the engine's back changes the answer's bytes."""
    variant = EagerEngine(BUNDLE).prepare(BUNDLE.ladder.full)
    before = variant.run(INPUTS).outputs.copy()
    weights = variant._network._stages[0].graph.compute._weights
    with torch.no_grad():
        weights["stem.conv.weight"].values.mul_(1.001)
    assert not np.array_equal(variant.run(INPUTS).outputs, before)
