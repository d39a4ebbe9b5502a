"""VGG-16 (arXiv:1409.1556, configuration D): stacks of 3x3 convolutions, each with a max pool at its end."""

from collections.abc import Iterator

from torch import nn

from tidegate_bench.zoo.segmented import NamedModule, Pooled, Segmented

STACKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each stack."""


class Vgg16(Segmented):
    """138,357,544 parameters with the defaults, 224x224.

    `narrower` divides all channel counts; `batch_norm` puts a norm after each convolution, as the small variant
    needs to train from scratch.
    """

    def __init__(
        self,
        narrower: int = 1,
        batch_norm: bool = False,
        hidden: int = 4096,
        pooled: int = 7,
        channels: int = 3,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for full_width, depth in STACKS:
            outputs = full_width // narrower
            for _ in range(depth):
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
                layers.extend([nn.BatchNorm2d(outputs)] if batch_norm else [])
                layers.append(nn.ReLU())
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * pooled**2, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, classes),
        )
        self._pooled = pooled

    def segments(self) -> list[NamedModule]:
        """Each convolution with what follows it, the head."""
        return [*self._convolutions(), ("head", Pooled(self.classifier, self._pooled))]

    def _convolutions(self) -> Iterator[NamedModule]:
        layers = list(self.features)
        starts = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(layers)], strict=True), 1):
            yield f"conv{number}", nn.Sequential(*layers[start:end])
