"""Fully connected layers on sparse input: the same numbers as the dense product, and used where AA-ReLU is."""

import numpy as np
import pytest
import torch
from random_networks import Builder, difference, point

from tidegate.engines.eager import EagerEngine
from tidegate.engines.packed.engine import PackedEngine
from tidegate.engines.packed.offer import Offer
from tidegate.engines.packed.sparse_linear import pack_sparse
from tidegate.models.graph import INPUT, Ref
from tidegate.models.ladder import Activation, Precision
from tidegate.models.network import TrainedNetwork


@pytest.mark.parametrize("non_zero", [0, 1, 30, 100])
@pytest.mark.parametrize("bias", [torch.arange(20.0), None])
def test_sparse_and_dense_agree_at_every_density(non_zero: int, bias: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    weight = torch.randn(20, 100)
    x = torch.zeros(1, 100)
    x[0, torch.randperm(100)[:non_zero]] = torch.randn(non_zero)
    expected = torch.nn.functional.linear(x, weight, bias)
    for most in (0.0, 0.5, 1.0):
        found = pack_sparse(weight, bias, most).run(x, None)
        assert torch.allclose(found, expected, atol=1e-5)


def test_a_batch_is_dense() -> None:
    weight, x = torch.randn(20, 100), torch.randn(3, 100)
    assert torch.allclose(pack_sparse(weight, None, 1.0).run(x, None), x @ weight.t(), atol=1e-5)


def test_a_network_with_aa_relu_before_a_large_layer_answers_as_on_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays: dict[str, np.ndarray] = {}
    build = Builder("all", (64,), arrays, np.random.default_rng(0))
    x, _ = build.linear(Ref(INPUT), (64,), 1024)
    x = build.add("aten.relu.default", (x,), (1024,))
    x, _ = build.linear(x, (1024,), 1024)
    x = build.add("aten.relu.default", (x,), (1024,))
    build.linear(x, (1024,), 7)
    network = TrainedNetwork((build.done(),), arrays)
    batch = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    chosen = point("eager", activations={"all.relu_1": Activation(threshold=0.8)})
    engine = PackedEngine(network, lambda: batch, Offer(frozenset({Precision.FP32}), 119, most_non_zero=0.5))
    variant = engine.prepare(chosen)
    reference = EagerEngine(network).prepare(chosen)
    sparse, bag = [], torch.nn.functional.embedding_bag
    monkeypatch.setattr(torch.nn.functional, "embedding_bag", lambda *a, **k: sparse.append(1) or bag(*a, **k))
    for sample in batch:
        found, expected = variant.run(sample[None]).outputs, reference.run(sample[None]).outputs
        assert difference(found, expected) < 1e-4
    assert len(sparse) == len(batch), "the large layer read all its weights"
