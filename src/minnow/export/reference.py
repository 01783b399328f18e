"""What a quantized model's numbers give in float64, by numpy alone: what an exported model is held
against.

Texts are computed one by one, so nothing is padded, and no rounding counts: in float64 it is a
billionth of what the limits of the gate allow.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf, softmax

from minnow.export.classifiers import Encoder, Layer
from minnow.export.parts import Array, Linear, Norm, float_numbers, part_numbers, weight_of


@dataclass(frozen=True)
class _Linear:
    weight: Array
    bias: Array

    @classmethod
    def of(cls, layer: Linear) -> "_Linear":
        return cls(weight_of(layer), float_numbers(layer.bias).astype(np.float64))

    def __call__(self, states: Array) -> Array:
        return np.asarray(states @ self.weight.T + self.bias)


@dataclass(frozen=True)
class _Norm:
    weight: Array
    bias: Array
    epsilon: float

    @classmethod
    def of(cls, norm: Norm, epsilon: float) -> "_Norm":
        weight, bias = (float_numbers(each).astype(np.float64) for each in (norm.weight, norm.bias))
        return cls(weight, bias, epsilon)

    def __call__(self, states: Array) -> Array:
        centred = states - states.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + self.epsilon) * self.weight + self.bias)


class Reference:
    """A quantized model in float64."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.words, self.positions = part_numbers(encoder.words), part_numbers(encoder.positions)
        self.types = 0.0 if encoder.types is None else float_numbers(encoder.types)[0]
        self.normed = _Norm.of(encoder.normed, encoder.epsilon)
        self.layers = [_Layer(layer, encoder) for layer in encoder.layers]
        self.hidden, self.head = _Linear.of(encoder.hidden), _Linear.of(encoder.head)

    def logits(self, ids: Array) -> Array:
        """Return the logits (labels,) of one text's token ids (tokens,)."""
        words = self.words[ids].astype(np.float64)
        states = self.normed(words + self.positions[positions_of(ids, self.encoder)] + self.types)
        for layer in self.layers:
            states = layer(states)
        first = self.hidden(states[0])
        active = np.tanh(first) if self.encoder.hidden_activation == "Tanh" else _relu(first)
        return self.head(active)


class _Layer:
    def __init__(self, layer: Layer, encoder: Encoder) -> None:
        self.heads, self.gelu = encoder.heads, encoder.activation == "gelu"
        self.projections = [_Linear.of(each) for each in (layer.query, layer.key, layer.value)]
        self.context, self.up, self.down = map(_Linear.of, (layer.context, layer.up, layer.down))
        self.attended = _Norm.of(layer.attended, encoder.epsilon)
        self.normed = _Norm.of(layer.normed, encoder.epsilon)

    def __call__(self, states: Array) -> Array:
        states = self.attended(states + self.context(self.mixed(states)))
        inner = self.up(states)
        active = inner * 0.5 * (1 + erf(inner / np.sqrt(2))) if self.gelu else _relu(inner)
        return self.normed(states + self.down(active))

    def mixed(self, states: Array) -> Array:
        """Return what attention mixes of the values, (tokens, width)."""
        query, key, value = (
            each(states).reshape(len(states), self.heads, -1).transpose(1, 0, 2)
            for each in self.projections
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        return np.asarray((softmax(scores, axis=-1) @ value).transpose(1, 0, 2)).reshape(
            states.shape
        )


def positions_of(ids: Array, encoder: Encoder) -> Array:
    """Return the row of the table of positions for each token (tokens,).

    RoBERTa's are counted behind the padding token's id, which padding itself keeps.
    """
    if encoder.padding is None:
        return np.arange(len(ids))
    real = ids != encoder.padding
    return np.asarray(encoder.padding + np.cumsum(real) * real)


def _relu(values: Array) -> Array:
    return np.maximum(values, 0)
