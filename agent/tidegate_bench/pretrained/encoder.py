"""all-MiniLM-L6-v2 without the library that its package loads it with: the same layers."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

LAYERS, WIDTH, HEADS, WORDS, PLACES = 6, 384, 12, 30_522, 512
EPSILON = 1e-12

_NAMES = {
    "attention.self.": "",
    "attention.output.dense": "joined",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "wider",
    "output.dense": "narrower",
    "output.LayerNorm": "output_norm",
    "encoder.layer.": "layers.",
    "embeddings.LayerNorm": "norm",
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "places",
    "embeddings.token_type_embeddings": "kinds",
}
"""What the file calls them, and what they are called here; in this order."""


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.joined = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.wider, self.narrower = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.attention_norm, self.output_norm = (nn.LayerNorm(WIDTH, EPSILON) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            each(x).unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        )
        heard = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.joined(heard))
        answer: Tensor = self.output_norm(x + self.narrower(functional.gelu(self.wider(x))))
        return answer


class MiniLm(nn.Module):
    """Numbers of tokens (n, tokens), none of them padding, to the mean over all places, as its README pools."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.kinds = (nn.Embedding(rows, WIDTH) for rows in (WORDS, PLACES, 2))
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.words(tokens) + self.places.weight[: tokens.shape[1]] + self.kinds.weight[0])
        for layer in self.layers:
            x = layer(x)
        answer: Tensor = x.mean(1)
        return answer


def mini_lm(weights: Path) -> nn.Module:
    """With the weights of the package's file; the pooler's, which sentence embeddings leave out, stay behind."""
    given: dict[str, Tensor] = {}
    for name, value in load_file(weights).items():
        if "pooler" in name or name.endswith("position_ids"):
            continue
        legal = name
        for theirs, ours in _NAMES.items():
            legal = legal.replace(theirs, ours)
        given[legal] = value.to(torch.float32)
    net = MiniLm()
    net.load_state_dict(given)
    return net.eval()
