"""Attention that keeps samples along the first axis, in place of torch's own, which turns them to the second."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class PlainAttention(nn.Module):
    """The same function as an `nn.MultiheadAttention` at inference, with a known mask or none."""

    def __init__(self, original: nn.MultiheadAttention) -> None:
        """Raises ValueError for the forms of attention that it can't stand for."""
        super().__init__()
        if original.bias_k is not None or original.add_zero_attn:
            raise ValueError(
                "attention with bias_k, bias_v or add_zero_attn has no form in a graph; make it without them"
            )
        self.batch_first = original.batch_first  # nn.TransformerEncoder asks its layers' attention
        self.heads = original.num_heads
        self.out_proj = original.out_proj
        together: Tensor | None = original.in_proj_weight
        parts: Sequence[Tensor]
        if together is None:  # keys or values of another width
            parts = (original.q_proj_weight, original.k_proj_weight, original.v_proj_weight)
        else:
            parts = together.detach().chunk(3)
        biases = [None] * 3 if original.in_proj_bias is None else original.in_proj_bias.detach().chunk(3)
        for name, weight, bias in zip("qkv", parts, biases, strict=True):
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
            linear.weight = nn.Parameter(weight.detach().clone())
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
        need_weights: bool = True,
        average_attn_weights: bool = True,
        **_: object,
    ) -> tuple[Tensor, Tensor | None]:
        """(n, length, width) each, length first unless `batch_first`; and the shares, which cost nothing unread.

        Raises ValueError for a mask by sample and head.
        """
        if not self.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        if attn_mask is not None and attn_mask.ndim != 2:
            raise ValueError("an attention mask of its own for each sample and head has no form; give one for all")
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask  # true is what may be looked at there, and what may not here
        mask = _with_padding(attn_mask, key_padding_mask)
        heads = self._split("q", query), self._split("k", key), self._split("v", value)
        mixed = scaled_dot_product_attention(*heads, mask)
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(query.shape[0], query.shape[1], -1))
        shares = _shares(heads[0], heads[1], mask) if need_weights else None
        if shares is not None and average_attn_weights:
            shares = shares.mean(1)
        return joined if self.batch_first else joined.transpose(0, 1), shares

    def _split(self, name: str, x: Tensor) -> Tensor:
        """(n, length, width) to (n, heads, length, width / heads)."""
        projected: Tensor = self.get_submodule(name)(x)
        return projected.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


def _with_padding(mask: Tensor | None, padding: Tensor | None) -> Tensor | None:
    """What may be looked at, by sample where there is padding, which is true there as torch has it."""
    if padding is None:
        return mask
    if padding.dtype != torch.bool:
        added = padding[:, None, None, :]
        return added if mask is None else added + mask
    seen = ~padding[:, None, None, :]
    if mask is None:
        return seen
    if mask.dtype == torch.bool:
        return seen & mask
    return torch.where(seen, mask, -torch.inf)


def _shares(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf) if mask.dtype == torch.bool else scores + mask
    shares: Tensor = scores.softmax(-1)
    return shares


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
