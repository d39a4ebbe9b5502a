"""The digits bundle in profiles/: what the ladder says of it is what one finds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tidegate.calibration.assemble.plan import ALPHAS, DELTA
from tidegate.calibration.data.digits.data import load_split
from tidegate.engines.bundle_check import verify
from tidegate.engines.engine import Engine
from tidegate.engines.plan.quantization import WEIGHT_LIMIT
from tidegate.engines.runtime.processor import weight_limit
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.exact_test import binomial_cdf
from tidegate.models.ladder import OperatingPoint

ROOT = Path(__file__).parents[4]
SHIPPED = ROOT / "profiles" / "bundles" / "digits"


SLACK = 1 if weight_limit() == WEIGHT_LIMIT else 3
"""In samples. Where 8-bit products are added in 16 bits, weights have 7 bits, and certified was the other way."""

TIPPED = 2
"""In samples that skip all blocks or none more: an exit passes many, and more of them lie near its threshold."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(SHIPPED)


@pytest.fixture(scope="module")
def engines(bundle: Bundle) -> dict[str, Engine]:
    """Those that points were certified on, by name."""
    return {name: open_engine(name, bundle) for name in {point.engine for point in bundle.ladder.points}}


def points() -> list[OperatingPoint]:
    return list(open_bundle(SHIPPED).ladder.points)


def test_it_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 2_000_000


def test_every_check_passes() -> None:
    checks = verify(SHIPPED)
    assert [check.name for check in checks if not check.ok] == []
    assert len(checks) == 3 + len(points())


def test_its_ladder_mixes_skips_stand_ins_exits_and_precisions(bundle: Bundle) -> None:
    assert len(bundle.ladder.points) >= 5
    assert len(bundle.blocks) == 10
    assert any(point.exits for point in bundle.ladder.points)
    assert any(point.stand_ins for point in bundle.ladder.points)
    assert any(point.skip for point in bundle.ladder.points)
    assert len({point.precision for point in bundle.ladder.points}) > 1


@pytest.mark.parametrize("point", points(), ids=lambda point: point.name)
def test_figures_are_what_the_report_part_shows(
    bundle: Bundle, engines: dict[str, Engine], point: OperatingPoint
) -> None:
    """With a little slack: another processor's rounding may tip an answer or a gate."""
    samples = bundle.samples()
    full = engines[bundle.ladder.full.engine].prepare(bundle.ladder.full).run(samples.inputs()).outputs.argmax(1)
    variant = engines[point.engine].prepare(point)
    answer = variant.run(samples.inputs())
    given = answer.outputs.argmax(1)
    one = (SLACK + 0.01) / len(samples.labels)
    figures = point.figures
    assert figures.n == len(samples.labels)
    assert (given == samples.labels).mean() == pytest.approx(figures.accuracy, abs=one)
    assert ((full == samples.labels) & (given != samples.labels)).mean() == pytest.approx(
        figures.newly_wrong, abs=one
    )
    assert (full != given).mean() == pytest.approx(figures.disagreement, abs=one)
    assert answer.skip_ratio == pytest.approx(figures.skip_ratio, abs=one + TIPPED / len(samples.labels))
    assert variant.weights_resident_bytes == figures.weights_resident_bytes


@pytest.mark.parametrize("point", points()[1:], ids=lambda point: point.name)
def test_certificates_follow_from_the_certify_part(
    bundle: Bundle, engines: dict[str, Engine], point: OperatingPoint
) -> None:
    part = load_split(bundle.built.seed).certify
    assert part.sha256 == bundle.calibration.parts["certify"]
    inputs = part.inputs.astype(np.float32) * np.float32(bundle.input.scale)
    full = engines[bundle.ladder.full.engine].prepare(bundle.ladder.full).run(inputs).outputs.argmax(1)
    given = engines[point.engine].prepare(point).run(inputs).outputs.argmax(1)
    failures = int(((full == part.labels) & (given != part.labels)).sum())
    certificate = point.certificate
    share = DELTA / len(ALPHAS) / max(1, len(bundle.calibration.engines))
    assert certificate is not None
    assert certificate.n == len(part)
    assert abs(failures - certificate.failures) <= SLACK
    assert binomial_cdf(certificate.failures, certificate.n, certificate.alpha) <= share


def test_samples_are_the_report_part_and_nothing_else(bundle: Bundle) -> None:
    split = load_split(bundle.built.seed)
    assert {name: part.sha256 for name, part in split.parts.items()} == dict(bundle.calibration.parts)
    assert np.array_equal(bundle.samples().raw, split.report.inputs)
    assert np.array_equal(bundle.samples().labels, split.report.labels)


def test_canaries_come_from_the_search_part(bundle: Bundle) -> None:
    searched = {row.tobytes() for row in load_split(bundle.built.seed).search.inputs}
    raw = np.rint(bundle.canaries().inputs / bundle.input.scale).astype(np.uint8)
    assert all(row.tobytes() in searched for row in raw)


def test_int8_weights_take_a_quarter(bundle: Bundle) -> None:
    full = bundle.ladder.full.figures.weights_resident_bytes
    whole = [point for point in bundle.ladder.points[1:] if not (point.skip or point.thresholds or point.exits)]
    assert whole
    assert all(point.figures.weights_resident_bytes / full < 0.26 for point in whole)


def test_certified_risk_loosens_and_cost_falls_down_the_ladder(bundle: Bundle) -> None:
    risks = [point.certified_risk for point in bundle.ladder.points]
    assert all(risk is not None for risk in risks)
    assert risks == sorted(risks, key=float)
    assert risks[0] == 0
    for engine in {point.engine for point in bundle.ladder.points}:
        own = [point for point in bundle.ladder.points if point.engine in {"eager", engine}]
        flops = [point.figures.flops_ratio for point in own]
        assert flops == sorted(flops, reverse=True)


@pytest.mark.parametrize(
    "module",
    [
        "tidegate.models.bundle",
        "tidegate.models.bundle.ladder_file",
        "tidegate.calibration.certify.certification",
        "tidegate.engines.bundle_check",
    ],
)
def test_torch_stays_out_of(module: str) -> None:
    opened = f"open_bundle(pathlib.Path({str(SHIPPED)!r}))"
    code = f"import pathlib, sys, {module}; from tidegate.models.bundle import open_bundle; {opened}"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60).returncode == 0
