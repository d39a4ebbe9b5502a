"""A bundle from one's own model and data: built, taken up again, verified, reported on, refused with reasons."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from tidegate.calibration.assemble.model_bundle import BuildError, Request, build_bundle
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.certify.risk import risk_of
from tidegate.calibration.data.datasets import DataError, ImageSpec
from tidegate.calibration.progress import silent
from tidegate.calibration.report.page import render
from tidegate.calibration.search.goal import Goal, Knob, Target, target_outcome
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.sources import SourceError
from tidegate.engines.bundle_check import verify
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.exact_test import binomial_cdf
from tidegate.models.importing.discovery import DiscoveryError
from tidegate.models.ladder import Compared, Comparison, Ladder, Risk

pytestmark = pytest.mark.long

PLAN = Plan(Objective(risk=risk_of("cosine:0.1"), lookahead=2))


class Block(nn.Module):
    """Adds a little to its input, so that skipping it costs little."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.2 * self.body(x)


def embedder() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), Block(), Block(), nn.Linear(12, 6))


def plain() -> nn.Module:
    torch.manual_seed(0)
    sizes = (16, 20, 18, 24, 6)
    layers = (each for a, b in pairwise(sizes) for each in (nn.Linear(a, b), nn.ReLU()))
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(6, 4))


def scalar() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 1))


def not_a_model() -> int:
    return 1


def request_in(directory: Path) -> Request:
    """What all tests here build, without labels."""
    inputs = np.random.default_rng(0).integers(0, 256, (700, 4, 4), np.uint8)
    np.savez(directory / "data.npz", inputs=inputs)
    out = directory / "bundle"
    spec = ImageSpec(4)
    return Request(f"{__name__}:embedder", directory / "data.npz", out, spec, plan=PLAN, command="tidegate")


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return request_in(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a build that nothing interrupted; to be read, not changed."""
    request = request_in(tmp_path_factory.mktemp("built"))
    build_bundle(request, silent)
    return request.out


def loads_nothing(page: str) -> bool:
    return not re.search(r"""(src|href)=["']?(?!data:|#)|@import|url\((?!["']?(data:|#))""", page)


def test_without_labels_a_bundle_is_certified_by_distance_and_verifies(built: Path) -> None:
    bundle = open_bundle(built)
    assert [check for check in verify(built) if not check.ok] == []
    assert bundle.calibration.failure == "cosine distance above 0.1"
    assert bundle.calibration.comparison == Comparison(Compared.COSINE, 0.1)
    assert all(p.certificate is None or p.certificate.risk is Risk.DISAGREEMENT for p in bundle.ladder.points)
    assert bundle.ladder.full.figures.accuracy is None
    assert bundle.samples().labels is None
    assert bundle.ladder.cheapest.figures.flops_ratio < 1
    assert not built.with_name("bundle.partial").exists()

    shown = two_points(bundle)
    page = render(shown)
    assert all(f">{point.name}<" in page for point in shown.ladder.points)
    assert page.count("<svg") == 4
    assert loads_nothing(page)
    assert "The energy of an answer was not measured, as no meter was read." in page
    assert page.count("live activations, encoded") == 1


def test_a_network_without_blocks_is_left_between_its_layers(request_: Request) -> None:
    plan = Plan(Objective(risk=risk_of("disagreement"), lookahead=2))
    build_bundle(replace(request_, model=f"{__name__}:plain", plan=plan), silent)
    bundle = open_bundle(request_.out)
    assert bundle.blocks == ()
    assert bundle.exit_heads
    assert [check for check in verify(request_.out) if not check.ok] == []


def two_points(bundle: Bundle) -> Bundle:
    """The bundle with two of its points: for each a page starts a process that loads torch."""
    return replace(bundle, ladder=Ladder((bundle.ladder.full, bundle.ladder.cheapest)))


def with_blocks_alone(request: Request) -> Request:
    """A ladder of few points, for what is asked of each."""
    return replace(request, plan=replace(request.plan, knobs=frozenset({Knob.BLOCKS})))


class ProcessorTime:
    """A meter of something real: 5 J for each second that this process computes."""

    source = "processor time at 5 W"
    least_s = 0.1

    def spent_j(self, work: Callable[[], object]) -> float | None:
        before = time.process_time()
        work()
        return 5.0 * (time.process_time() - before)


def test_with_a_meter_energy_is_measured(request_: Request) -> None:
    build_bundle(with_blocks_alone(request_), silent, ProcessorTime())
    bundle = open_bundle(request_.out)
    energies = [point.figures.energy_mj for point in bundle.ladder.points]
    assert all(energy is not None and energy > 0 for energy in energies)
    assert bundle.calibration.measured_on.endswith("energy by processor time at 5 W")
    outcome = target_outcome(Target(Goal.ENERGY, 1e6), bundle.ladder)
    assert "target energy of 1e+06 mJ or less: met by full" in outcome


class Broken(ProcessorTime):
    """A meter that went away."""

    def spent_j(self, work: Callable[[], object]) -> float | None:
        work()
        return None


def test_a_meter_that_fails_is_told_and_leaves_energy_unknown(request_: Request) -> None:
    lines: list[str] = []
    build_bundle(with_blocks_alone(request_), lambda text, share=None: lines.append(text), Broken())
    points = open_bundle(request_.out).ladder.points
    assert [point.figures.energy_mj for point in points] == [None] * len(points)
    assert f"eager: processor time at 5 W failed at {len(points)} of {len(points)} points" in lines


class Interrupted(Exception):  # noqa: N818 - what it is
    """In place of a power cut."""


def interrupted(request: Request, after: str, count: int) -> list[str]:
    """All that a build said until it had said something so many times; there it ended."""
    seen: list[str] = []

    def stop(text: str, share: float | None = None) -> None:
        seen.append(text)
        if sum(after in line for line in seen) == count:
            raise Interrupted

    with pytest.raises(Interrupted):
        build_bundle(request, stop)
    return seen


def without_exits(request: Request) -> Request:
    """Whose knobs are sought one by one, whatever exits would take."""
    plan = request.plan
    return replace(request, plan=replace(plan, knobs=plan.knobs - {Knob.EXITS}))


def test_a_build_goes_on_where_it_was_interrupted(request_: Request, built: Path) -> None:
    request_ = without_exits(request_)
    interrupted(request_, "operations", 3)
    chain = request_.out.with_name("bundle.partial") / "chain.jsonl"
    with chain.open("a") as stream:
        stream.write('{"setting": {"cut o')
    again: list[str] = []
    build_bundle(request_, lambda text, share=None: again.append(text))
    assert "taking up an earlier search at step 3" in again

    # Which points are rungs rests on times; canaries have a line for each, and heads are those of rungs.
    weights, before = (load_file(path / "weights.safetensors") for path in (request_.out, built))
    assert all(".exit." in name for name in weights.keys() ^ before.keys())
    assert all(np.array_equal(weights[name], before[name]) for name in weights.keys() & before.keys())
    points = [json.loads((path / "ladder.json").read_text())["points"] for path in (request_.out, built)]
    assert {p["name"] for p in points[0]} & {p["name"] for p in points[1]} >= {"full", "int8"}


def test_points_counted_before_an_interruption_are_not_counted_again(request_: Request) -> None:
    interrupted(request_, "become rungs", 1)
    failures = request_.out.with_name("bundle.partial") / "failures.jsonl"
    lines = failures.read_text().splitlines()
    failures.write_text("\n".join([*lines[:-1], lines[-1][:20]]))
    interrupted(request_, "become rungs", 1)
    assert failures.read_text().splitlines() == lines


def test_another_seed_starts_anew(request_: Request) -> None:
    request_ = without_exits(request_)
    interrupted(request_, "operations", 3)
    assert any("taking up" in line for line in interrupted(request_, "operations", 1))
    assert not any("taking up" in line for line in interrupted(replace(request_, seed=1), "operations", 1))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "nowhere"}, SourceError, "names no function and no model file"),
        ({"model": "no_such_module:f"}, SourceError, "no module no_such_module"),
        ({"model": f"{__name__}:not_a_model"}, SourceError, "needed is a torch.nn.Module"),
        ({"model": f"{__name__}:scalar", "plan": Plan()}, BuildError, "threshold:0.5"),
        ({"plan": Plan()}, BuildError, "certify --risk disagreement"),
        ({"blocks": ("9",)}, DiscoveryError, "computes nothing there"),
        ({"data": Path("nowhere.npz")}, DataError, "nowhere.npz"),
    ],
)
def test_what_can_not_be_built_is_refused_with_words(
    request_: Request, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        build_bundle(replace(request_, **changes), silent)
    assert not request_.out.exists()


def test_a_ladder_for_two_engines_verifies_and_they_share_delta(request_: Request) -> None:
    pytest.importorskip("onnxruntime")
    plan = replace(PLAN, engines=("eager", "onnx"), knobs=frozenset({Knob.INT8}))
    build_bundle(replace(request_, plan=plan), silent)
    bundle = open_bundle(request_.out)
    assert [check for check in verify(request_.out) if not check.ok] == []
    assert set(bundle.calibration.engines) == {"eager", "onnx"}
    native = [point for point in bundle.ladder.points if point.engine != "eager"]
    assert native
    assert all(point.name.endswith(f"-{point.engine}") and point.ranges for point in native)
    share = plan.delta / len(plan.alphas) / 2
    for certificate in (point.certificate for point in native):
        if certificate is not None:
            assert certificate.delta == plan.delta
            assert binomial_cdf(certificate.failures, certificate.n, certificate.alpha) <= share
