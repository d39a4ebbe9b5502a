"""The networks of `tidegate bench apple`, each with four ways through it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle import open_bundle
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import OperatingPoint
from tidegate.models.network import Network
from tidegate.paths import profiles_directory
from tidegate_bench.apple.ways import ways
from tidegate_bench.engine.networks import SUBJECTS
from tidegate_bench.zoo.detector import BOX, CLASSES, SmallDetector
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.segmented import Segmented

LARGE = ("mobilenet_v2", "resnet18", "encoder_6")
DETECTED = (3, 160, 160)


@dataclass(frozen=True, slots=True)
class Subject:
    """A network, its ways, and inputs (n, *input shape)."""

    name: str
    network: Network
    points: Sequence[OperatingPoint]
    inputs: Array
    boxes: int | None = None
    """How many boxes a detector's flat output holds, each with four places and then its classes' scores."""

    def best_classes(self, outputs: Array) -> npt.NDArray[np.int64]:
        """Of flat outputs (n, outputs), the best class of each input, or of each of its boxes."""
        if self.boxes is None:
            return np.asarray(outputs.argmax(1), np.int64)
        return np.asarray(outputs.reshape(len(outputs), -1, self.boxes)[:, BOX:].argmax(1), np.int64)


def digits() -> Subject:
    """The shipped network, on its own samples."""
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    return Subject("digits", bundle, ways(bundle), bundle.samples().inputs()[:100])


def large(name: str) -> Subject:
    """One of LARGE, at full size."""
    subject = SUBJECTS[name]
    return _random(name, subject.make, subject.shape)


def detector() -> Subject:
    """A network that finds boxes."""
    made = _random("detector", SmallDetector, DETECTED)
    (numbers,) = EagerEngine(made.network).prepare(made.points[0]).run(made.inputs[:1]).outputs.shape[1:]
    return replace(made, boxes=numbers // (BOX + CLASSES))


def _random(name: str, make: Callable[[], Segmented], shape: tuple[int, ...]) -> Subject:
    """With random weights and inputs: its arithmetic counts, not its answers."""
    torch.manual_seed(0)
    net = make()
    for module in net.modules():
        # A detector's heads, which have biases, keep the smaller weights that they begin with: their scores would
        # all be 0 or 1, and so as good as each other.
        if isinstance(module, torch.nn.Conv2d) and module.bias is None:
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    network = export_network(inference_segments(net), torch.zeros(2, *shape))
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    return Subject(name, network, ways(network), inputs)
