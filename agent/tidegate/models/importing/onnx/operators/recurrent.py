"""LSTM, GRU and RNN, by torch's own: their weights are turned to its order of gates."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tidegate.models.importing.onnx.call import Call, Operator, Unsupported

_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where each of torch's gates stands in ONNX's order: i, f, g, o in i, o, f, c; r, z, n in z, r, h."""

_ACTIVATIONS = {
    "LSTM": ("sigmoid", "tanh", "tanh"),
    "GRU": ("sigmoid", "tanh"),
    "RNN": ("tanh",),
}


def recurrent(call: Call) -> tuple[Tensor, ...]:
    """(steps, samples, numbers) to (steps, directions, samples, states) and the last states."""
    x = call.tensor(0)
    size, directions = call.attribute("hidden_size"), call.tensor(1).shape[0]
    _check(call, directions)
    by_sample = bool(call.attribute("layout", 0))
    if by_sample:
        x = x.transpose(0, 1)
    places = (5, 6) if call.operator == "LSTM" else (5,)
    first = [_state(call, place, x, directions, size, by_sample) for place in places]
    weights = [each for direction in range(directions) for each in _weights(call, direction, size)]
    run = (True, 1, 0.0, False, directions == 2, False)
    if call.operator == "LSTM":
        found, *last = torch.lstm(x, first, weights, *run)
    elif call.operator == "GRU":
        found, *last = torch.gru(x, first[0], weights, *run)
    else:
        found, *last = torch.rnn_tanh(x, first[0], weights, *run)
    steps, samples = x.shape[0], x.shape[1]
    found = found.reshape(steps, samples, directions, size).transpose(1, 2)
    if by_sample:
        return found.permute(2, 0, 1, 3), *(each.transpose(0, 1) for each in last)
    return found, *last


def _check(call: Call, directions: int) -> None:
    named = [name.lower() for name in call.attribute("activations") or ()]
    if named and named != [*_ACTIVATIONS[call.operator]] * directions:
        raise Unsupported(f"activations {named}; allowed are the usual ones")
    if call.attribute("direction", "forward") == "reverse" or call.attribute("clip") is not None:
        raise Unsupported("goes backwards alone, or cuts its sums off; allowed are forward and bidirectional")
    if call.operator == "GRU" and not call.attribute("linear_before_reset", 0):
        raise Unsupported("resets before its product; allowed is linear_before_reset=1, as torch exports it")
    if call.optional(4) is not None or (call.operator == "LSTM" and call.optional(7) is not None):
        raise Unsupported("lengths by sample, or peepholes; graphs have one length for all, and no peepholes")
    if call.operator == "LSTM" and call.attribute("input_forget", 0):
        raise Unsupported("couples its input and forget gates")


def _state(call: Call, place: int, x: Tensor, directions: int, size: int, by_sample: bool) -> Tensor:
    """Before the first step, (directions, samples, states): zeros unless it is given."""
    samples = x.shape[1]
    given = call.maybe(place)
    if given is None:
        return torch.zeros(directions, samples, size)
    if by_sample:
        given = given.transpose(0, 1)
    return given.expand(directions, samples, size)


def _weights(call: Call, direction: int, size: int) -> Sequence[Tensor]:
    """Of one direction: for inputs, for states, and a bias each, with the gates in torch's order."""
    order = _GATES[call.operator]
    if 1 not in call.known or 2 not in call.known:
        raise Unsupported("its weights depend on the input")
    whole = [call.tensor(1)[direction], call.tensor(2)[direction]]
    bias: Any = call.maybe(3)
    both = torch.zeros(2 * len(order) * size) if bias is None else bias[direction]
    parts = [*whole, *both.chunk(2)]
    return [torch.cat([each.split(size)[gate] for gate in order]) for each in parts]


OPERATORS: dict[str, Operator] = {"GRU": recurrent, "LSTM": recurrent, "RNN": recurrent}
