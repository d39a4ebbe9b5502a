"""LeNet-5 (LeCun 1998) with ReLU and max pooling, for one-channel images of 32x32."""

from torch import nn

from tidegate_bench.zoo.segmented import NamedModule, Segmented


class LeNet(Segmented):
    """Two convolutions, three linear layers; (n, 1, 32, 32) to (n, classes)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def segments(self) -> list[NamedModule]:
        """One segment per layer with what follows it."""
        return [
            ("features1", nn.Sequential(self.conv1, nn.ReLU(), nn.MaxPool2d(2))),
            ("features2", nn.Sequential(self.conv2, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())),
            ("hidden1", nn.Sequential(self.fc1, nn.ReLU())),
            ("hidden2", nn.Sequential(self.fc2, nn.ReLU())),
            ("head", self.fc3),
        ]
