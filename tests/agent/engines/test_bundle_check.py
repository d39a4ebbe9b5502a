"""`verify` tells a bundle whose files agree with each other but whose model answers otherwise."""

import hashlib
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from tidegate.engines import bundle_check
from tidegate.engines.bundle_check import Check, verify
from tidegate.engines.runtime import installed as catalog

SHIPPED = Path(__file__).parents[3] / "profiles" / "bundles" / "digits"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))


def vouch(bundle: Path, name: str, data: bytes) -> None:
    """Replace a file and make the manifest agree."""
    (bundle / name).write_bytes(data)
    manifest = json.loads((bundle / "bundle.json").read_bytes())
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def swap_weights(bundle: Path, arrays: dict[str, np.ndarray]) -> None:
    data = save(arrays)
    ladder = json.loads((bundle / "ladder.json").read_bytes())
    ladder["calibration"]["weights_sha256"] = hashlib.sha256(data).hexdigest()
    vouch(bundle, "weights.safetensors", data)
    vouch(bundle, "ladder.json", json.dumps(ladder).encode())


def failed(checks: tuple[Check, ...]) -> list[str]:
    return [check.name for check in checks if check.ok is False]


def test_slightly_other_weights_fail_the_outputs(bundle: Path) -> None:
    arrays = load_file(bundle / "weights.safetensors")
    swap_weights(bundle, arrays | {"head.linear.bias": arrays["head.linear.bias"] + np.float32(0.1)})
    assert "outputs at full" in failed(verify(bundle))


def test_ruined_weights_fail_the_canaries(bundle: Path) -> None:
    arrays = load_file(bundle / "weights.safetensors")
    swap_weights(bundle, arrays | {"head.linear.weight": -arrays["head.linear.weight"]})
    below = json.loads((SHIPPED / "ladder.json").read_bytes())["points"][1]["name"]
    assert {"canaries at full", f"canaries at {below}", "outputs at full"} <= set(failed(verify(bundle)))


def test_a_broken_file_is_a_failed_check_with_its_reason(bundle: Path) -> None:
    (bundle / "ladder.json").write_bytes(b"{}")
    (check,) = verify(bundle)
    assert check.ok is False
    assert "ladder.json" in check.detail


def test_graphs_that_do_not_fit_are_a_failed_check(bundle: Path) -> None:
    arrays = load_file(bundle / "weights.safetensors")
    swap_weights(bundle, arrays | {"stem.conv.bias": np.zeros(7, np.float32)})
    assert failed(verify(bundle)) == ["canaries"]


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")
def test_without_torch_it_runs_what_is_there(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_check, "installed_engines", lambda: ("onnx",))
    checks = verify(bundle)
    verdicts = {check.name: check.ok for check in checks}
    assert (verdicts["canaries at full"], verdicts["outputs at full"]) == (True, True)
    assert failed(checks) == []


def test_without_any_engine_it_says_that_nothing_was_run(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "installed_version", lambda name: None)
    contents, canaries = verify(bundle)
    assert contents.ok is True
    assert canaries.ok is None
    assert "neither onnxruntime nor torch is installed" in canaries.detail


def test_another_release_of_the_runtime_than_calibration_had_fails(bundle: Path) -> None:
    ladder = json.loads((bundle / "ladder.json").read_bytes())
    ladder["calibration"]["engines"]["onnx"] = "onnxruntime 1.0.0"
    vouch(bundle, "ladder.json", json.dumps(ladder).encode())
    assert failed(verify(bundle)) == ["runtime of onnx"]


def test_a_bundle_verifies_without_torch(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = catalog.installed_version
    without = lambda name: None if name == "torch" else found(name)  # noqa: E731
    monkeypatch.setattr(catalog, "installed_version", without)
    monkeypatch.setattr(bundle_check, "installed_version", without)
    assert [check for check in verify(bundle) if not check.ok] == []


def test_an_engine_that_there_is_not_is_named_with_those_that_there_are(bundle: Path) -> None:
    ladder = json.loads((bundle / "ladder.json").read_bytes())
    point = ladder["points"][1]
    point["engine"] = "packed"
    vouch(bundle, "ladder.json", json.dumps(ladder).encode())
    (check,) = [each for each in verify(bundle) if each.name == f"canaries at {point['name']}"]
    assert check.ok is None
    assert (
        "packed, which tidegate does not have; its engines are onnx, litert, mlx, coreml, coreai, eager"
        in check.detail
    )


def test_a_range_that_is_missing_is_a_failed_check(bundle: Path) -> None:
    ladder = json.loads((bundle / "ladder.json").read_bytes())
    point = next(each for each in ladder["points"] if each["ranges"])
    ladder["points"] = [ladder["points"][0], point]
    kept = load_file(bundle / "canaries.safetensors")
    vouch(bundle, "canaries.safetensors", save(kept | {"top1": np.stack([kept["top1"][0]] * 2)}))
    for name in list(point["ranges"]):
        spans = dict(point["ranges"])
        del point["ranges"][name]
        vouch(bundle, "ladder.json", json.dumps(ladder).encode())
        (check,) = [each for each in verify(bundle) if each.name == f"canaries at {point['name']}"]
        # A value that this point doesn't keep in 8 bits may lack its range.
        if check.ok is False and "no range" in check.detail:
            assert repr(name) in check.detail
            break
        point["ranges"] = spans
    else:
        pytest.fail("no range was missed")


def test_a_range_whose_ends_are_swapped_is_a_failed_check(bundle: Path) -> None:
    ladder = json.loads((bundle / "ladder.json").read_bytes())
    index, point = next((i, each) for i, each in enumerate(ladder["points"]) if each["ranges"])
    name, (low, high, *_) = next(iter(point["ranges"].items()))
    point["ranges"][name] = [high, low]
    vouch(bundle, "ladder.json", json.dumps(ladder).encode())
    (check,) = verify(bundle)
    assert check.ok is False
    assert f"points.{index}.ranges.{name}" in check.detail
