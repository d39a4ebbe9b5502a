"""Networks as people write them, each with what once kept it from becoming a bundle. Untrained and small."""

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE, SIGNAL, VECTOR = (1, 16, 16), (3, 64), (16,)


class ActivationMlp(nn.Module):
    """Activation functions beside ReLU, and a batch norm behind a linear layer."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(256, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 32), nn.LeakyReLU(0.2),
            nn.Linear(32, 32), nn.ELU(), nn.Dropout(0.3), nn.Linear(32, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class SqueezeExcite(nn.Module):
    """Scales channels by what all positions say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))
        return x * functional.hardsigmoid(self.up(squeezed))


class MobileV3(nn.Module):
    """Hardswish, squeeze and excite, depthwise convolutions."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(),
                nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.Hardswish(), SqueezeExcite(16), nn.Conv2d(16, 8, 1),
            )
            for _ in range(2)
        )  # fmt: skip
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    """Written by hand, with queries, keys and values from one layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        samples, tokens, width = x.shape
        turned = self.qkv(x).reshape(samples, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = turned.unbind(0)
        weights = ((query @ key.transpose(-2, -1)) * self.scale).softmax(-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(samples, tokens, width))


class VisionTransformer(nn.Module):
    """A class token before the patches, and the answer from its place."""

    shape = IMAGE

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, 4, 4)
        self.token, self.place = (nn.Parameter(torch.randn(1, count, width)) for count in (1, 17))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.attention = nn.ModuleList(Attention(width, 4) for _ in range(2))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width)) for _ in range(2)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        for i in range(2):
            x = x + self.attention[i](self.norms[2 * i](x))
            x = x + self.mlps[i](self.norms[2 * i + 1](x))
        return self.head(x[:, 0])


class SignalNet(nn.Module):
    """Convolutions over time."""

    shape = SIGNAL

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(3, 8, 7, 2, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(8, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3, padding=1)
            )
            for _ in range(2)
        )
        self.head = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = functional.relu(x + block(x))
        return self.head(functional.adaptive_avg_pool1d(functional.avg_pool1d(x, 2), 1).squeeze(-1))


class GroupNormNet(nn.Module):
    """Group and instance norms; values split in two along the channels."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.block = nn.Sequential(nn.GroupNorm(4, 8), nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1))
        self.norm = nn.InstanceNorm2d(8, affine=True)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        left, right = self.norm(x + self.block(x)).chunk(2, 1)
        return self.head((left - right.clamp(-1, 1)).mean((2, 3)))


class UNet(nn.Module):
    """Down, up twice in two ways, and joined with what went around; an image as its answer."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.last = nn.Conv2d(12, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = functional.relu(self.first(x))
        deep = functional.relu(self.deep(functional.max_pool2d(first, 2)))
        nearest = functional.interpolate(deep, scale_factor=2)
        smooth = functional.interpolate(functional.max_pool2d(deep, 2), (16, 16), mode="bilinear")
        return self.last(torch.cat([first, self.up(deep) + nearest, smooth], 1))


class Regressor(nn.Module):
    """A number per sample, without an axis."""

    shape = VECTOR

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)


class FixedBatch(nn.Module):
    """Counts its samples in a way that a trace takes for a constant, and computes with the number."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.reshape(len(x), 16)) / len(x)


MODELS = (
    ActivationMlp,
    MobileV3,
    VisionTransformer,
    SignalNet,
    GroupNormNet,
    UNet,
    Regressor,
)
