"""The routing paper's experiments, small: honest counts, the corrected formula, and files that can be read."""

import csv
import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.ladder import Activity
from tidegate_bench.routing import classification, synthetic
from tidegate_bench.routing.labelled_images import load_images
from tidegate_bench.routing.metrics import measure, skip_ratio, summary
from tidegate_bench.routing.net import PlainBlock, routing_net
from tidegate_bench.routing.options import ClassificationOptions, SyntheticOptions
from tidegate_bench.routing.output import PlotError, write_plot
from tidegate_bench.routing.scores import block_scores, quantile


def test_the_papers_count_is_of_blocks_that_it_computes() -> None:
    torch.manual_seed(0)
    net = routing_net(16, 3, PlainBlock)
    inputs = torch.randn(50, 16)
    assert net.published_skip_ratio(inputs, -1.0) == 1
    assert net.published_skip_ratio(inputs, 1e9) == 0
    engine = EagerEngine(net.exported())
    nothing = measure(
        engine.build(KnobSettings(thresholds=dict.fromkeys(net.blocks, -1.0))), inputs.numpy(), 8, meter=None
    )
    assert (nothing.executed, nothing.blocks) == (150, 3)
    assert skip_ratio([nothing]) == 0


def test_one_threshold_is_absorbing() -> None:
    torch.manual_seed(0)
    net = routing_net(16, 5, PlainBlock)
    inputs = torch.randn(80, 16).numpy()
    engine = EagerEngine(net.exported())
    tau = float(np.median(block_scores(engine, inputs, Activity.MEAN_ABS)["block_2"]))
    done = engine.build(KnobSettings(thresholds=dict.fromkeys(net.blocks, tau))).forward(inputs)
    ran = [done.executed[block] for block in net.blocks]
    assert ran == sorted(ran, reverse=True)
    assert 0 < ran[1] < 80


def test_metrics_cover_all_inputs_and_say_what_is_unavailable() -> None:
    torch.manual_seed(0)
    net = routing_net(8, 2, PlainBlock)
    inputs = torch.randn(50, 8).numpy()
    done = measure(
        EagerEngine(net.exported()).build(KnobSettings(skip=frozenset({"block_2"}))), inputs, 16, meter=None
    )
    found = summary([done, done])
    assert len(done.outputs) == 50
    assert len(done.times_ms) == 4
    assert (found["skip_ratio"], found["skip_q50"], found["block_compute_ratio"]) == (0.5, 0.5, 0.5)
    assert found["skip_histogram"] == "0 0 0 0 0 8 0 0 0 0"
    assert found["energy_mj_per_sample"] == "unavailable"
    assert all(isinstance(found[name], float) for name in ("latency_p99_ms", "rss_peak_mib", "throughput_per_s"))


def test_thresholds_leave_out_what_is_no_number() -> None:
    assert quantile([np.array([np.inf, np.inf], np.float32)], 0.5) is None
    assert quantile([np.array([1, np.inf], np.float32), np.array([3], np.float32)], 0.5) == 2


def test_synthetic_writes_what_it_prints(tmp_path: Path) -> None:
    options = SyntheticOptions(samples=200, dim=16, layers=2, runs=1, output=tmp_path / "out.csv")
    figures = synthetic.run(options)
    with (tmp_path / "out.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(figures.rows)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    gated = [row for row in figures.rows if "cost_model_ratio" in row]
    assert all(row["skip_ratio"] + row["block_compute_ratio"] == pytest.approx(1) for row in gated)
    assert gated[0]["tau"] == options.threshold


def test_classification_compares_each_network_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "MAX_TRAINING_STEPS", 60)
    figures = classification.run(ClassificationOptions(dim=32, layers=2, runs=1), lambda _: None)
    full = {row["network"]: row for row in figures.rows if row["rule"] == "full"}
    assert len(full) == 3
    assert all(row["newly_wrong"] == 0 and row["skip_ratio"] == 0 for row in full.values())
    assert full["residual, trained"]["accuracy"] > 0.5 > full["plain, untrained (the paper's)"]["accuracy"]
    last = [row["skip_ratio"] for row in figures.rows if row["rule"] == "last 1 of 2 blocks skipped"]
    assert last == [0.5, 0.5, 0.5]


def test_pictures_without_matplotlib_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PlotError, match=r"matplotlib is missing; install it: .* -m pip install"):
        write_plot(tmp_path / "x.png", [], "rule", "skip_ratio", "title")


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def test_idx_files_give_both_parts_packed_or_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (6, 4, 4)).astype(np.uint8), np.arange(6, dtype=np.uint8)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images[:2]))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[:2]))
    found = load_images("mnist", tmp_path, 0)
    assert np.allclose(found.train * 255, images.reshape(6, 16))
    assert found.test_labels.tolist() == [0, 1]
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="need labels"):
        load_images("fashion-mnist", tmp_path, 0)


def test_folders_give_a_class_per_directory(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pillow reads pictures")
    for part, count in (("train", 2), ("test", 1)):
        for label, shade in (("cat", 0), ("dog", 255)):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(count):
                image.new("RGB", (3, 2), (shade,) * 3).save(tmp_path / part / label / f"{number}.png")
    found = load_images("folder", tmp_path, 0)
    assert (found.train.shape, found.classes) == ((4, 3072), 2)
    assert found.train_labels.tolist() == [0, 0, 1, 1]
    assert found.test.mean(1).tolist() == [0, 1]
    (tmp_path / "test" / "dog" / "0.png").unlink()
    (tmp_path / "test" / "dog").rmdir()
    with pytest.raises(DataError, match="both must agree"):
        load_images("folder", tmp_path, 0)


@pytest.mark.parametrize(("dataset", "reason"), [("cifar", "allowed are digits"), ("mnist", "--data")])
def test_missing_data_says_what_to_give(dataset: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load_images(dataset, None, 0)
