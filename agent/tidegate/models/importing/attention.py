"""Attention that keeps samples along the first axis, in place of torch's own, which turns them to the second."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class PlainAttention(nn.Module):
    """The same function as an `nn.MultiheadAttention` at inference, with a known mask or none."""

    def __init__(self, original: nn.MultiheadAttention) -> None:
        """Raises ValueError for the forms of attention that it can't stand for."""
        super().__init__()
        if original.in_proj_weight is None or original.bias_k is not None or original.add_zero_attn:
            raise ValueError(
                "attention must have queries, keys and values of one size, and no bias_k, bias_v or add_zero_attn"
            )
        self.batch_first = original.batch_first  # nn.TransformerEncoder asks its layers' attention
        self.heads = original.num_heads
        self.out_proj = original.out_proj
        width = original.embed_dim
        biases = [None] * 3 if original.in_proj_bias is None else original.in_proj_bias.detach().chunk(3)
        for name, weight, bias in zip("qkv", original.in_proj_weight.detach().chunk(3), biases, strict=True):
            linear = nn.Linear(width, width, bias=bias is not None)
            linear.weight = nn.Parameter(weight.clone())
            if bias is not None:
                linear.bias = nn.Parameter(bias.clone())
            self.add_module(name, linear)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        **_: object,
    ) -> tuple[Tensor, None]:
        """(n, length, width) each, length first unless `batch_first`. Raises ValueError for a mask per sample."""
        if key_padding_mask is not None:
            raise ValueError(
                "a padding mask differs by sample, which no graph holds; leave src_key_padding_mask out"
            )
        if not self.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask  # true is what may be looked at there, and what may not here
        mixed = scaled_dot_product_attention(
            self._split("q", query), self._split("k", key), self._split("v", value), attn_mask
        )
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(query.shape))
        return joined if self.batch_first else joined.transpose(0, 1), None

    def _split(self, name: str, x: Tensor) -> Tensor:
        """(n, length, width) to (n, heads, length, width / heads)."""
        projected: Tensor = self.get_submodule(name)(x)
        return projected.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


def with_plain_attention(module: nn.Module) -> nn.Module:
    """The module itself, or a copy with every `nn.MultiheadAttention` replaced where it has one."""
    if not any(isinstance(child, nn.MultiheadAttention) for child in module.modules()):
        return module
    with torch.no_grad():
        return _replaced(copy.deepcopy(module))


def _replaced(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.MultiheadAttention):
            setattr(module, name, PlainAttention(child))
        else:
            _replaced(child)
    return module
