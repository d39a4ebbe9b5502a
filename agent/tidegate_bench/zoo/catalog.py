"""The zoo by name: each network at full size, and a small variant that trains on digits in a minute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tidegate_bench.zoo.densenet import DenseNet, densenet121
from tidegate_bench.zoo.efficientnet import EfficientNetB0
from tidegate_bench.zoo.lenet import LeNet
from tidegate_bench.zoo.mobilenet_v2 import MobileNetV2
from tidegate_bench.zoo.resnet import BasicBlock, Bottleneck, ResNet, resnet18, resnet50
from tidegate_bench.zoo.segmented import Segmented
from tidegate_bench.zoo.vgg import Vgg16

SMALL_RESOLUTION = 32
"""All networks but LeNet halve their input five times: below 32 pixels nothing would be left."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`full` takes `channels` x `resolution` x `resolution`; `small` takes 1 x 32 x 32 and tells ten classes."""

    full: Callable[[], Segmented]
    small: Callable[[], Segmented]
    channels: int = 3
    resolution: int = 224


ZOO: Mapping[str, Entry] = {
    "lenet": Entry(LeNet, LeNet, channels=1, resolution=SMALL_RESOLUTION),
    "resnet18": Entry(resnet18, lambda: ResNet(BasicBlock, (2, 2, 2, 2), 16, 1, 10)),
    "resnet50": Entry(resnet50, lambda: ResNet(Bottleneck, (1, 1, 1, 1), 16, 1, 10)),
    "mobilenet_v2": Entry(MobileNetV2, lambda: MobileNetV2(0.35, 1, 10)),
    "vgg16": Entry(Vgg16, lambda: Vgg16(8, True, 128, 1, 1, 10)),
    "efficientnet_b0": Entry(EfficientNetB0, lambda: EfficientNetB0(0.35, 1, 10)),
    "densenet121": Entry(densenet121, lambda: DenseNet(8, (3, 3, 3, 3), 16, 1, 10)),
}
