"""What all networks of the zoo are: a sequence of named segments over parameters with torchvision's names."""

from torch import Tensor, nn

NamedModule = tuple[str, nn.Module]


class Segmented(nn.Module):
    """A network that runs its segments one after the other; subclasses say which."""

    def segments(self) -> list[NamedModule]:
        """The named segments in the order in which they run; they share the network's parameters."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(n, *input shape) to (n, classes)."""
        for _, segment in self.segments():
            x = segment(x)
        return x


class ConvNorm(nn.Sequential):
    """A convolution, its batch norm and, where one is given, an activation: children 0, 1 and 2."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), *([] if activation is None else [activation]))


class Pooled(nn.Module):
    """Features pooled to `size` x `size`, flattened, and classified."""

    def __init__(self, classifier: nn.Module, size: int = 1) -> None:
        super().__init__()
        self.classifier = classifier
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, classes)."""
        logits: Tensor = self.classifier(nn.functional.adaptive_avg_pool2d(x, self.size).flatten(1))
        return logits


def divisible_by_8(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and not less than nine tenths of what was asked for."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
