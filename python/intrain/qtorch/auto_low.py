"""QPyTorch's conversion of whole models: a quantizer behind each layer of the types that are named."""

from __future__ import annotations


import copy
from typing import Any, Callable, Iterable

from torch import Tensor, nn

from ._number import Number
from .quant import Quantizer

__all__ = ["lower", "sequential_lower"]


def _named(*names: str) -> tuple[type[nn.Module], ...]:
    return tuple(getattr(nn, name) for name in names)


_LAYERS = {
    "conv": _named(
        "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Unfold", "Fold"
    ),
    "linear": _named("Linear", "Bilinear"),
    "pool": _named(
        "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "AvgPool1d", "AvgPool2d",
        "AvgPool3d", "FractionalMaxPool2d", "LPPool1d", "LPPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
        "AdaptiveMaxPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d",
    ),
    "pad": _named(
        "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad1d", "ReplicationPad2d", "ZeroPad2d", "ConstantPad1d",
        "ConstantPad2d", "ConstantPad3d",
    ),
    "activation": _named(
        "ELU", "Hardshrink", "Hardtanh", "LeakyReLU", "LogSigmoid", "PReLU", "ReLU", "ReLU6", "RReLU", "SELU", "Sigmoid",
        "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold", "Softmin", "Softmax", "Softmax2d",
        "LogSoftmax",
    ),
    "normalization": _named(
        "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
        "LayerNorm", "LocalResponseNorm",
    ),
    "dropout": _named("Dropout", "Dropout2d", "Dropout3d", "AlphaDropout"),
    "loss": _named(
        "L1Loss", "MSELoss", "CrossEntropyLoss", "NLLLoss", "PoissonNLLLoss", "KLDivLoss", "BCELoss", "BCEWithLogitsLoss",
        "MarginRankingLoss", "HingeEmbeddingLoss", "MultiLabelMarginLoss", "SmoothL1Loss", "SoftMarginLoss",
        "MultiLabelSoftMarginLoss", "MultiMarginLoss", "TripletMarginLoss",
    ),
}


def _types(layer_types: Iterable[str]) -> tuple[type[nn.Module], ...]:
    for name in layer_types:
        if name not in _LAYERS:
            raise AssertionError(f"'{name}' is no type of layers; there are {', '.join(_LAYERS)}")
    return tuple(kind for name in layer_types for kind in _LAYERS[name])


class _Behind:
    """A layer's forward pass with a quantizer behind it."""

    def __init__(self, forward: Callable[..., Tensor], quant: Quantizer) -> None:
        self.forward, self.quant = forward, quant

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        out: Tensor = self.quant(self.forward(*inputs, **named))
        return out


def lower(
    model: nn.Module,
    layer_types: Iterable[str] = (),
    forward_number: Number | None = None,
    backward_number: Number | None = None,
    forward_rounding: str = "stochastic",
    backward_rounding: str = "stochastic",
) -> None:
    """Quantizes behind each layer of these types, in the model itself."""
    quant = Quantizer(forward_number, backward_number, forward_rounding, backward_rounding)
    kinds = _types(layer_types)
    for module in model.modules():
        if type(module) in kinds:
            module.forward = _Behind(module.forward, quant)


def sequential_lower(
    model: nn.Module,
    layer_types: Iterable[str] = (),
    forward_number: Number | None = None,
    backward_number: Number | None = None,
    forward_rounding: str = "stochastic",
    backward_rounding: str = "stochastic",
) -> nn.Module:
    """A copy of the model in which each layer of these types is a sequence of itself and a quantizer."""
    quant = Quantizer(forward_number, backward_number, forward_rounding, backward_rounding)
    return _with_quant(copy.deepcopy(model), _types(layer_types), quant)


def _with_quant(module: nn.Module, kinds: tuple[type[nn.Module], ...], quant: Quantizer) -> nn.Module:
    children = list(module.named_children())
    for name, child in children:
        setattr(module, name, _with_quant(child, kinds, quant))
    return nn.Sequential(module, quant) if not children and type(module) in kinds else module
