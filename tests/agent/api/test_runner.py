"""`tidegate.Runner`: a ladder in one's own process, moved by hand and by a policy."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tidegate
from tidegate.api.opened import InputsError
from tidegate.api.runner import Runner, RunnerError
from tidegate.documents import DocumentError
from tidegate.paths import profiles_directory
from tidegate_drivers.reading import BATTERY, Provenance, Reading, Snapshot, Unit

DIGITS = profiles_directory() / "bundles" / "digits"
POLICY = """
tidegate: 1
name: test
version: 1
max_accuracy_loss: 3 %
default: {use: full}
dwell: {down: 0 s, up: 0 s}
rules:
  - name: low
    when: {battery: {below: 50 %, until: 60 %}}
    use: cheapest
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with tidegate.Runner(DIGITS, engine="onnx") as opened:
        yield opened


def test_it_answers_raw_and_scaled_inputs_alike(runner: Runner) -> None:
    samples = runner.bundle.samples()
    raw = runner.run(samples.raw[:4])
    assert np.array_equal(raw.outputs, runner.run(samples.inputs()[:4]).outputs)
    assert np.allclose(runner.run(samples.raw[0]).outputs, raw.outputs[:1], atol=1e-4)
    assert samples.labels is not None
    assert raw.outputs.argmax(1).tolist() == samples.labels[:4].tolist()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (np.zeros((2, 8, 8), np.uint8), r"shape \(2, 8, 8\), needed is \(1, 8, 8\) or \(samples, 1, 8, 8\)"),
        (np.zeros((0, 1, 8, 8), np.uint8), "shape"),
        (np.zeros((1, 8, 8), np.complex64), "complex64; allowed are whole numbers, as raw values, and floats"),
        (np.array(["a"]), "shape"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(runner: Runner, inputs: np.ndarray, said: str) -> None:
    with pytest.raises(InputsError, match=said):
        runner.run(inputs)


def test_it_moves_along_the_ladder_and_says_what_is_certified(runner: Runner) -> None:
    assert runner.points[0] == "full"
    runner.use(runner.points[-1])
    assert runner.point.name == runner.points[-1]
    assert runner.point.certified_risk is not None
    assert runner.run(runner.bundle.samples().raw).skip_ratio > 0.5
    with pytest.raises(RunnerError, match=f"no operating point 'best'; allowed are full, {runner.points[1]}"):
        runner.use("best")
    assert runner.point.name == runner.points[-1]
    runner.use("full")
    assert runner.run(runner.bundle.samples().raw).skip_ratio == 0


def test_a_policy_moves_it_by_what_sensors_say(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    percent = [80.0]

    def snapshot() -> Snapshot:
        reading = Reading(percent[0], Unit.PERCENT, 10.0, Provenance.MEASURED, "test", 60.0)
        return Snapshot(10.0, {BATTERY: reading})

    with Runner(DIGITS, engine="onnx", policy=policy, snapshot=snapshot) as runner:
        assert runner.step().point == "full"
        percent[0] = 20.0
        decision = runner.step()
        assert (decision.rule, decision.wanted) == ("low", runner.points[-1])
        assert "battery" in decision.reason
        # A rule that isn't urgent goes down a rung at a time.
        assert runner.point.name == decision.point == runner.points[1]
        percent[0] = 80.0
        for _ in runner.points:
            runner.step()
        assert runner.point.name == "full"


def test_a_point_that_answers_wrongly_here_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Runner(DIGITS, engine="onnx") as runner:
        cheapest = runner.points[-1]
        top1 = dict(runner.bundle.canaries().top1)
        # A device that answers wrongly can't be had otherwise.
        canaries = runner._canaries
        wrong = replace(canaries, top1={**top1, cheapest: (top1[cheapest] + 1) % 10})
        monkeypatch.setattr(runner, "_canaries", wrong)
        with pytest.raises(RunnerError, match=r"stays at full: .* of the canaries"):
            runner.use(cheapest)
        assert runner.point.name == "full"


def test_what_needs_a_policy_or_an_open_runner_says_so(tmp_path: Path) -> None:
    runner = Runner(DIGITS, engine="onnx")
    with pytest.raises(RunnerError, match="no policy"):
        runner.step()
    runner.close()
    runner.close()
    with pytest.raises(RunnerError, match="closed"):
        runner.run(np.zeros((1, 8, 8), np.uint8))
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: x\nuse: nothing\n")
    with pytest.raises(DocumentError, match=r"policy\.yaml:2"):
        Runner(DIGITS, engine="onnx", policy=policy)


def test_importing_tidegate_loads_nothing_of_it() -> None:
    code = (
        "import sys, tidegate; before = set(sys.modules); tidegate.Runner; "
        "print(sorted({'numpy', 'pydantic', 'torch', 'tidegate.api'} & before), "
        "'tidegate.api.runner' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[0] == "[] True False"


def test_all_but_a_build_does_without_torch() -> None:
    """A device certifies on its own frames, and has no torch."""
    code = (
        "import sys; sys.modules['torch'] = None; import tidegate; "
        f"bundle = tidegate.open_bundle({str(DIGITS)!r}); "
        "found = tidegate.certify(bundle, bundle.samples().raw, engine='onnx'); tidegate.simulate; "
        "print(tidegate.Runner(bundle, engine='onnx').point.name, sorted(found.failures)[:1]); "
        "from tidegate.cli.bundle_certify import certify_command"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["full", "['int8']"]


def test_what_is_exported_is_there() -> None:
    assert {name for name in tidegate.__all__ if getattr(tidegate, name) is None} == set()
    assert set(tidegate.__all__) <= set(dir(tidegate))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tidegate.nothing
