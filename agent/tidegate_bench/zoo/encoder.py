"""Transformer encoders over embedded tokens, as segments: attention and MLP can be skipped each by itself."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tidegate_bench.zoo.segmented import NamedModule, Segmented


class Attention(nn.Module):
    """x + attention(norm(x)), or norm(x + attention(x)) with `post_norm` (as BERT does)."""

    def __init__(self, width: int, heads: int, post_norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.heads = heads
        self.post_norm = post_norm

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        samples, tokens, width = x.shape
        y = x if self.post_norm else self.norm(x)
        by_head = (
            layer(y).view(samples, tokens, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = scaled_dot_product_attention(*by_head).transpose(1, 2).reshape(samples, tokens, width)
        summed: Tensor = x + self.output(mixed)
        return self.norm(summed) if self.post_norm else summed


class Mlp(nn.Module):
    """x + mlp(norm(x)), or norm(x + mlp(x)) with `post_norm`."""

    def __init__(self, width: int, hidden: int, post_norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.post_norm = post_norm

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        y = x if self.post_norm else self.norm(x)
        summed: Tensor = x + self.narrow(nn.functional.gelu(self.wide(y)))
        return self.norm(summed) if self.post_norm else summed


class TokenMean(nn.Module):
    """The mean over tokens, normed and classified."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to (n, classes)."""
        logits: Tensor = self.linear(self.norm(x.mean(1)))
        return logits


class Patches(nn.Module):
    """An image cut into patches, each embedded, with a learned position."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(torch.randn((size // patch) ** 2, width) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, size, size) to (n, patches, width)."""
        embedded: Tensor = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return embedded


class Encoder(Segmented):
    """`layers` pairs of attention and MLP between `entrance` (None: tokens come embedded) and a classifier."""

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        hidden: int,
        classes: int,
        post_norm: bool = False,
        entrance: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.entrance = entrance
        self.attentions = nn.ModuleList(Attention(width, heads, post_norm) for _ in range(layers))
        self.mlps = nn.ModuleList(Mlp(width, hidden, post_norm) for _ in range(layers))
        self.head = TokenMean(width, classes)

    def segments(self) -> list[NamedModule]:
        """Entrance, then attention and MLP in turn, then the head."""
        named: list[NamedModule] = [] if self.entrance is None else [("entrance", self.entrance)]
        for index, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
            named += [(f"attention_{index}", attention), (f"mlp_{index}", mlp)]
        return [*named, ("head", self.head)]


def encoder_6() -> Encoder:
    """Six pre-LN layers of MiniLM's size over 128 embedded tokens of 384."""
    return Encoder(6, 384, 12, 1536, 2)


def bert_style_6() -> Encoder:
    """The same size with BERT's order: norm after the sum."""
    return Encoder(6, 384, 12, 1536, 2, post_norm=True)


def vit_small() -> Encoder:
    """ViT-S/16 at 224 pixels (arXiv:2010.11929 with the small size of DeiT), classifying the patches' mean."""
    return Encoder(12, 384, 6, 1536, 1000, entrance=Patches(224, 16, 384))


def vit_tiny() -> Encoder:
    """ViT-Ti/16 at 224 pixels (DeiT's tiny size), classifying the patches' mean."""
    return Encoder(12, 192, 3, 768, 1000, entrance=Patches(224, 16, 192))
