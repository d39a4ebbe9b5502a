"""The zoo's networks have torchvision's names, shapes and counts, and run as segments what they are as modules.

There is no torchvision where these tests run: counts and key patterns are pinned from its published models.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.importing.export import export_segment
from tidegate.models.importing.export_network import export_network
from tidegate.models.precision import Fp32Weight
from tidegate_bench.zoo.catalog import ZOO
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.segmented import Segmented, divisible_by_8
from tidegate_bench.zoo.weights import WeightsError, load_weights

pytestmark = pytest.mark.long

# Parameters and state dict entries (running statistics and counters included) of torchvision's models.
PUBLISHED = {
    "resnet18": (11_689_512, 122),
    "resnet50": (25_557_032, 320),
    "mobilenet_v2": (3_504_872, 314),
    "vgg16": (138_357_544, 32),
    "efficientnet_b0": (5_288_548, 360),
    "densenet121": (7_978_856, 727),
    "lenet": (61_706, 10),
}

KEYS = {
    "resnet18": {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_mean": (64,),
        "layer1.1.conv2.weight": (64, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.bias": (128,),
        "layer4.1.bn2.num_batches_tracked": (),
        "fc.weight": (1000, 512),
    },
    "resnet50": {
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer3.5.conv3.weight": (1024, 256, 1, 1),
        "layer4.2.bn3.running_var": (2048,),
        "fc.weight": (1000, 2048),
    },
    "mobilenet_v2": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.0.1.weight": (32,),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.1.conv.2.running_mean": (16,),
        "features.17.conv.2.weight": (320, 960, 1, 1),
        "features.17.conv.3.bias": (320,),
        "features.18.0.weight": (1280, 320, 1, 1),
        "classifier.1.weight": (1000, 1280),
    },
    "vgg16": {
        "features.0.weight": (64, 3, 3, 3),
        "features.28.bias": (512,),
        "classifier.0.weight": (4096, 25088),
        "classifier.3.weight": (4096, 4096),
        "classifier.6.bias": (1000,),
    },
    "efficientnet_b0": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.0.block.0.0.weight": (32, 1, 3, 3),
        "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
        "features.1.0.block.2.0.weight": (16, 32, 1, 1),
        "features.2.0.block.2.fc1.weight": (4, 96, 1, 1),
        "features.6.3.block.1.0.weight": (1152, 1, 5, 5),
        "features.7.0.block.3.1.running_var": (320,),
        "features.8.0.weight": (1280, 320, 1, 1),
        "classifier.1.weight": (1000, 1280),
    },
    "densenet121": {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.norm0.weight": (64,),
        "features.denseblock1.denselayer1.norm1.weight": (64,),
        "features.denseblock1.denselayer2.conv1.weight": (128, 96, 1, 1),
        "features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3),
        "features.transition3.conv.weight": (512, 1024, 1, 1),
        "features.norm5.running_mean": (1024,),
        "classifier.weight": (1000, 1024),
    },
}


def on_meta(name: str) -> Segmented:
    with torch.device("meta"):
        return ZOO[name].full()


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name: str) -> None:
    net = on_meta(name)
    assert (sum(p.numel() for p in net.parameters()), len(net.state_dict())) == PUBLISHED[name]


@pytest.mark.parametrize("name", KEYS)
def test_keys_and_shapes_are_torchvision_s(name: str) -> None:
    state = on_meta(name).state_dict()
    assert {key: tuple(state[key].shape) for key in KEYS[name] if key in state} == KEYS[name]


@pytest.mark.parametrize(
    ("name", "pattern", "count"),
    [
        ("resnet18", r"layer\d\.\d\.(conv[12]\.weight|bn[12]\.\w+|downsample\.[01]\.\w+)", 114),
        ("mobilenet_v2", r"features\.\d+\.(conv\.\d(\.\d)?|\d)\.\w+", 312),
        ("densenet121", r"features\.denseblock\d\.denselayer\d+\.(norm|conv)[12]\.\w+", 58 * 12),
        ("efficientnet_b0", r"features\.\d\.\d\.block\.\d\.(\d\.\w+|fc[12]\.\w+)", 346),
    ],
)
def test_every_key_of_the_body_follows_the_pattern(name: str, pattern: str, count: int) -> None:
    keys = on_meta(name).state_dict()
    assert sum(re.fullmatch(pattern, key) is not None for key in keys) == count


def with_real_statistics(net: Segmented) -> Segmented:
    """Norms as after training: statistics and scales that are not 0 and 1."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return net.eval()


@pytest.mark.parametrize("name", ZOO)
def test_segments_without_norms_compute_what_the_module_does(name: str) -> None:
    torch.manual_seed(0)
    net = with_real_statistics(ZOO[name].small())
    x = torch.randn(3, 1, 32, 32)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    segments = inference_segments(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for _, part in segments for module in part.modules())
    with torch.no_grad():
        expected = net(x)
        for _, segment in segments:
            x = segment(x)
    assert torch.allclose(x, expected, rtol=1e-3, atol=1e-4 * max(1.0, float(expected.abs().max())))
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize("name", ["lenet", "resnet50", "efficientnet_b0", "densenet121"])
def test_one_segment_of_each_kind_is_the_same_as_data(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 1, 32, 32)
    kinds: set[type] = set()
    for part, module in inference_segments(with_real_statistics(ZOO[name].small())):
        with torch.no_grad():
            expected = module(x)
        if type(module) not in kinds:
            segment, arrays = export_segment(part, module, x)
            weights = {key: Fp32Weight(torch.tensor(array)) for key, array in arrays.items()}
            assert torch.allclose(Interpreter(segment, weights)(x), expected, rtol=1e-4, atol=1e-4)
        kinds.add(type(module))
        x = expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_the_whole_network_is_the_same_as_data(name: str) -> None:
    torch.manual_seed(0)
    net = with_real_statistics(ZOO[name].small())
    inputs = torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        expected = net(inputs).numpy()
    traced = Tracer(export_network(inference_segments(net), inputs)).trace(KnobSettings(), inputs.numpy())
    assert np.allclose(traced.outputs, expected, rtol=1e-3, atol=1e-4 * max(1, np.abs(expected).max()))


def test_weights_come_from_either_format_and_from_old_densenet_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = with_real_statistics(ZOO["densenet121"].small())
    state = source.state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value for key, value in state.items()
    }
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    save_file({key: v for key, v in state.items() if "tracked" not in key}, tmp_path / "new.safetensors")
    for file in ("old.pth", "new.safetensors"):
        net = ZOO["densenet121"].small()
        load_weights(net, tmp_path / file)
        learned = {key for key in state if "tracked" not in key}
        assert all(torch.equal(net.state_dict()[key], state[key]) for key in learned)


def test_wrong_weights_are_refused_with_what_is_wrong(tmp_path: Path) -> None:
    state = ZOO["lenet"].small().state_dict()
    save_file({**state, "fc9.bias": torch.zeros(1)}, tmp_path / "more.safetensors")
    save_file({**state, "fc3.bias": torch.zeros(4)}, tmp_path / "shape.safetensors")
    torch.save(ZOO["lenet"].small(), tmp_path / "pickled.pth")
    (tmp_path / "noise.pth").write_bytes(b"noise")
    for file, reason in {
        "more.safetensors": r"1 unknown \['fc9.bias'\]",
        "shape.safetensors": r"fc3.bias is \(4,\), expected \(10,\)",
        "pickled.pth": "file of tensors",
        "noise.pth": "file of tensors",
        "absent.safetensors": "absent",
    }.items():
        with pytest.raises(WeightsError, match=reason):
            load_weights(ZOO["lenet"].small(), tmp_path / file)


def test_small_variants_are_small_and_narrow_channels_stay_multiples_of_8() -> None:
    assert all(sum(p.numel() for p in entry.small().parameters()) < 1_000_000 for entry in ZOO.values())
    assert [divisible_by_8(channels) for channels in (1, 11, 12, 32 * 0.35, 320)] == [8, 16, 16, 16, 320]


def test_segment_names_are_unique() -> None:
    for name in ZOO:
        names = Counter(segment for segment, _ in on_meta(name).segments())
        assert max(names.values()) == 1
