"""Normalizations and softmax."""

import torch
from torch import Tensor
from torch.nn import functional

from tidegate.models.importing.onnx.call import Call, Operator, Unsupported

_EPSILON = 1e-5


def batch_norm(call: Call) -> Tensor:
    if call.attribute("training_mode", 0) or call.outputs > 1:
        raise Unsupported("is a batch norm in training; export the model after eval()")
    x, scale, shift, mean, variance = (call.tensor(place) for place in range(5))
    return functional.batch_norm(x, mean, variance, scale, shift, eps=call.attribute("epsilon", _EPSILON))


def instance_norm(call: Call) -> Tensor:
    epsilon = call.attribute("epsilon", _EPSILON)
    return functional.instance_norm(call.tensor(0), weight=call.tensor(1), bias=call.tensor(2), eps=epsilon)


def layer_norm(call: Call) -> Tensor:
    if call.outputs > 1:
        raise Unsupported("gives mean and deviation too; take the normalized values alone")
    x, scale = call.tensor(0), call.maybe(1)
    axis = call.attribute("axis", -1) % x.ndim
    return functional.layer_norm(x, x.shape[axis:], scale, call.maybe(2), call.attribute("epsilon", _EPSILON))


def group_norm(call: Call) -> Tensor:
    x, scale, shift = (call.tensor(place) for place in range(3))
    groups = call.attribute("num_groups")
    if len(scale) != x.shape[1]:  # opset 18 has one of each per group
        scale, shift = (each.repeat_interleave(x.shape[1] // groups) for each in (scale, shift))
    return functional.group_norm(x, groups, scale, shift, call.attribute("epsilon", _EPSILON))


def rms_norm(call: Call) -> Tensor:
    x, scale = call.tensor(0), call.tensor(1)
    axis = call.attribute("axis", -1) % x.ndim
    square = (x * x).mean(tuple(range(axis, x.ndim)), keepdim=True)
    return x * torch.rsqrt(square + call.attribute("epsilon", _EPSILON)) * scale


def softmax(call: Call) -> Tensor:
    x = call.tensor(0)
    if call.opset >= 13:
        return x.softmax(call.attribute("axis", -1))
    axis = call.attribute("axis", 1) % x.ndim
    return x.softmax(-1) if axis == x.ndim - 1 else x.flatten(axis).softmax(-1).reshape(x.shape)


def log_softmax(call: Call) -> Tensor:
    x = call.tensor(0)
    axis = call.attribute("axis", -1 if call.opset >= 13 else 1) % x.ndim
    if call.opset < 13 and axis != x.ndim - 1:
        raise Unsupported("over several axes at once; export with opset 13 or newer")
    return x.log_softmax(axis)


def lp_norm(call: Call) -> Tensor:
    return functional.normalize(call.tensor(0), call.attribute("p", 2), call.attribute("axis", -1), eps=0.0)


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LogSoftmax": log_softmax,
    "LpNormalization": lp_norm,
    "RMSNormalization": rms_norm,
    "Softmax": softmax,
}
