"""`onnx` on other compute units, as the installed wheel has them: found, tried, and never half on the CPU.

None of the units is here. A fake provider, which computes on the CPU, stands for one that works; ONNX Runtime
itself refuses those that don't.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs tidegate[onnx]")

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime import provider_session
from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.runtime import installed
from tidegate.engines.runtime.installed import UnknownEngine, check_installed, installed_engines
from tidegate.engines.runtime.onnx_providers import PROVIDERS, providers_here
from tidegate.engines.runtime.placement import CPU, placement_of
from tidegate.engines.runtime.runtimes import runtime_of
from tidegate.engines.runtime.trials import contest
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
VERSION = "1.99.0"
Wheel = Callable[..., Path]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """Installs a wheel that has nothing but the names of its files, here and in children."""

    def install(package: str, *libraries: str) -> Path:
        folder = tmp_path / f"{package.replace('-', '_')}-{VERSION}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {VERSION}\n")
        (folder / "RECORD").write_text("".join(f"onnxruntime/capi/{each},,\n" for each in libraries))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return tmp_path

    return install


@pytest.mark.parametrize("engine", PROVIDERS)
def test_each_is_a_placement_of_its_own(engine: str) -> None:
    assert runtime_of(engine) == "onnxruntime"
    found = placement_of(engine)
    assert (found.engine, found.unit) == (engine, PROVIDERS[engine].unit)
    assert found.unit != CPU


def test_the_cpu_s_wheel_has_none_and_says_so() -> None:
    assert providers_here() == ()
    assert not PROVIDERS.keys() & {*installed_engines()}
    for engine, provider in PROVIDERS.items():
        with pytest.raises(UnknownEngine, match=f"engine {engine}: {provider.name} is not in the installed wheel"):
            check_installed(engine)


@pytest.mark.parametrize("engine", PROVIDERS)
def test_a_wheel_that_has_one_offers_it_last(wheel: Wheel, engine: str) -> None:
    wheel("onnxruntime-gpu", "onnxruntime_pybind11_state.so", PROVIDERS[engine].library)
    assert providers_here() == (engine,)
    assert installed_engines()[-1] == engine
    check_installed(engine)


def test_where_another_wheel_is_the_only_one_onnx_is_there(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel("onnxruntime-gpu")
    monkeypatch.setattr(installed, "WHEELS", ("onnxruntime-gpu",))
    assert installed.installed_version("onnxruntime") == VERSION
    check_installed("onnx")


class FakeProvider(InferenceSession):  # type: ignore[misc]  # ONNX Runtime has no types
    """Computes on the CPU what was asked of another provider, and says that it did not."""

    asked: list[tuple[Any, str]] = []  # noqa: RUF012 - of the class on purpose: sessions are made by others

    def __init__(self, model: bytes, options: Any, *, providers: Any, disabled_optimizers: Any) -> None:
        self.asked.append((providers, options.get_session_config_entry("session.disable_cpu_ep_fallback")))
        # ONNX Runtime takes the CPU's by name for a fallback.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
        cpu = ["CPUExecutionProvider"]
        super().__init__(model, options, providers=cpu, disabled_optimizers=disabled_optimizers)
        self._named = [each if isinstance(each, str) else each[0] for each in providers]

    def get_providers(self) -> list[str]:
        return self._named


def answers(engine: OnnxEngine) -> Mapping[str, np.ndarray]:
    inputs, found = BUNDLE.canaries().inputs, {}
    for point in BUNDLE.ladder.points:
        try:
            variant = engine.prepare(point)
        except UnsupportedPoint:
            continue
        found[point.name] = variant.run(inputs).outputs
    return found


@pytest.mark.parametrize("engine", ["onnx-tensorrt", "onnx-qnn"])
def test_it_runs_the_points_that_onnx_runs_and_nothing_of_them_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr(provider_session, "InferenceSession", FakeProvider)
    monkeypatch.setattr(FakeProvider, "asked", [])
    provider = PROVIDERS[engine]
    opened = OnnxEngine(BUNDLE, name=engine)
    assert opened.name == engine
    found, wanted = answers(opened), answers(OnnxEngine(BUNDLE))
    assert found.keys() == wanted.keys() != set()
    for point, outputs in wanted.items():
        np.testing.assert_allclose(found[point], outputs, rtol=1e-4, atol=1e-4)
    assert FakeProvider.asked
    named = [(provider.name, dict(provider.options)), *provider.behind]
    assert all(asked == (named, "1") for asked in FakeProvider.asked)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("engine", ["onnx-tensorrt", "onnx-qnn"])
def test_one_that_is_not_there_refuses_its_points_in_words(engine: str) -> None:
    with pytest.raises(UnsupportedPoint, match=r"ONNX Runtime (refuses|opens)"):
        OnnxEngine(BUNDLE, name=engine).prepare(BUNDLE.ladder.full)


def test_a_session_that_went_over_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProvider, "get_providers", lambda _: ["CPUExecutionProvider"])
    monkeypatch.setattr(provider_session, "InferenceSession", FakeProvider)
    words = "opens CPUExecutionProvider in the place of CUDAExecutionProvider: its driver or libraries are missing"
    with pytest.raises(UnsupportedPoint, match=words):
        OnnxEngine(BUNDLE, name="onnx-cuda").prepare(BUNDLE.ladder.full)


def test_a_wheel_without_its_driver_costs_a_trial_and_no_answer(wheel: Wheel, tmp_path: Path) -> None:
    wheel("onnxruntime-gpu", PROVIDERS["onnx-cuda"].library)
    trials = contest(BUNDLE, ("onnx", "onnx-cuda"), tmp_path / "cache")
    on_cpu = [each for each in trials if each.engine == "onnx"]
    elsewhere = [each for each in trials if each.engine == "onnx-cuda"]
    assert any(each.latency_ms is not None for each in on_cpu)
    assert [each.point for each in elsewhere] == [point.name for point in BUNDLE.ladder.points]
    assert all(each.latency_ms is None and each.reason for each in elsewhere)
