"""A module of PyTorch as the bytes of an ONNX file, for the reader of networks: what `torch.export` saw of it, operator by operator.

The graph is that of a module in evaluation, with one image. Each operator of a small classifier has its counterpart here; another one is
refused by its name, with the user's line that called it. Fields and numbers are those of onnx.proto3, opset 17.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from ._intrain import ModelError

_Node = torch.fx.Node


def _varint(n: int) -> bytes:
    out = bytearray()
    n &= (1 << 64) - 1
    while True:
        byte, n = n & 0x7F, n >> 7
        out.append(byte | (0x80 if n else 0))
        if not n:
            return bytes(out)


def _field(number: int, value: int | float | str | bytes) -> bytes:
    """A field of a message: an integer, a binary32 number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: int | float | Sequence[int]) -> bytes:
    if isinstance(value, float):
        return _field(1, name) + _field(2, value) + _field(20, 1)
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    return _field(1, name) + b"".join(_field(8, int(v)) for v in value) + _field(20, 7)


def _tensor(name: str, tensor: Tensor) -> bytes:
    data = tensor.detach().cpu().contiguous()
    kind = 7 if data.dtype == torch.int64 else 1
    data = data if kind == 7 else data.float()
    dims = b"".join(_field(1, int(size)) for size in data.shape)
    return dims + _field(2, kind) + _field(8, name) + _field(9, data.numpy().tobytes())


def _value(name: str, shape: Iterable[int]) -> bytes:
    dims = b"".join(_field(1, _field(1, int(size))) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


class _Graph:
    """The nodes and tensors of a graph, as messages."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []
        self.names: dict[_Node, str] = {}
        self.values: dict[str, Tensor] = {}

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: int | float | Sequence[int]) -> str:
        message = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(3, output)
        message += _field(4, op) + b"".join(_field(5, _attribute(*item)) for item in attributes.items())
        self.nodes.append(message)
        return output

    def constant(self, name: str, tensor: Tensor) -> str:
        self.tensors.append(_tensor(name, tensor))
        self.values[name] = tensor
        return name

    def bytes(self, output: str, shapes: tuple[Iterable[int], Iterable[int]]) -> bytes:
        graph = b"".join(_field(1, node) for node in self.nodes) + _field(2, "graph")
        graph += b"".join(_field(5, tensor) for tensor in self.tensors)
        graph += _field(11, _value("input", shapes[0])) + _field(12, _value(output, shapes[1]))
        return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 17))


def _pair(value: Any) -> list[int]:
    values = [int(v) for v in (value if isinstance(value, (list, tuple)) else [value])]
    return values * 2 if len(values) == 1 else values


def _arguments(node: _Node, names: str, defaults: dict[str, Any]) -> list[Any]:
    """The arguments of an operator in the order of `names`."""
    given = dict(zip(names.split(), node.args))
    return [given.get(name, node.kwargs.get(name, defaults.get(name))) for name in names.split()]


def _conv(graph: _Graph, node: _Node) -> str:
    names = "input weight bias stride padding dilation groups"
    x, w, b, stride, padding, dilation, groups = _arguments(
        node, names, {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    )
    kernel, dilation = list(graph.values[graph.names[w]].shape[2:]), _pair(dilation)
    if isinstance(padding, str):
        whole = [d * (k - 1) for d, k in zip(dilation, kernel)]
        before = [n // 2 for n in whole] if padding == "same" else [0, 0]
        pads = before + ([n - m for n, m in zip(whole, before)] if padding == "same" else [0, 0])
    else:
        pads = _pair(padding) * 2
    inputs = [graph.names[n] for n in (x, w, b) if n is not None]
    return graph.add(
        "Conv", inputs, node.name, kernel_shape=kernel, strides=_pair(stride), pads=pads, dilations=dilation, group=int(groups)
    )


def _norm(graph: _Graph, node: _Node) -> str:
    x, w, b, mean, variance, training, _, epsilon, _ = _arguments(
        node, "input weight bias running_mean running_var training momentum eps cudnn", {}
    )
    if training or mean is None:
        raise ModelError(f"'{node.name}' takes its statistics from the batch; track_running_stats=True, and model.eval()")
    n = graph.values[graph.names[mean]].numel()
    gain = graph.names[w] if w is not None else graph.constant(f"{node.name}.gain", torch.ones(n))
    offset = graph.names[b] if b is not None else graph.constant(f"{node.name}.offset", torch.zeros(n))
    inputs = [graph.names[x], gain, offset, graph.names[mean], graph.names[variance]]
    return graph.add("BatchNormalization", inputs, node.name, epsilon=float(epsilon))


def _pool(op: str) -> Callable[[_Graph, _Node], str]:
    def convert(graph: _Graph, node: _Node) -> str:
        names = "input kernel_size stride padding " + (
            "dilation ceil_mode" if op == "MaxPool" else "ceil_mode count_include_pad divisor_override"
        )
        x, kernel, stride, padding, *rest = _arguments(
            node, names, {"padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True}
        )
        attributes: dict[str, Any] = {
            "kernel_shape": _pair(kernel),
            "strides": _pair(stride or kernel),
            "pads": _pair(padding) * 2,
        }
        if op == "MaxPool":
            attributes.update(dilations=_pair(rest[0]), ceil_mode=int(rest[1]))
        else:
            if rest[2] is not None:
                raise ModelError(f"'{node.name}': an average with a divisor of its own has no counterpart")
            attributes.update(ceil_mode=int(rest[0]), count_include_pad=int(rest[1]))
        return graph.add(op, [graph.names[x]], node.name, **attributes)

    return convert


def _adaptive(graph: _Graph, node: _Node) -> str:
    x, size = node.args[0], _pair(node.args[1])
    assert isinstance(x, _Node)
    if size != [1, 1] and size != list(x.meta["val"].shape[2:]):
        raise ModelError(f"'{node.name}': an adaptive average to {size} has no counterpart; use [1, 1]")
    return graph.names[x] if size != [1, 1] else graph.add("GlobalAveragePool", [graph.names[x]], node.name)


def _mean(graph: _Graph, node: _Node) -> str:
    x, dims, keeps = _arguments(node, "input dim keepdim", {"keepdim": False})
    if sorted(d % 4 for d in dims or ()) != [2, 3] or x.meta["val"].dim() != 4:
        raise ModelError(f"'{node.name}': only the mean over height and width has a counterpart")
    pooled = graph.add("GlobalAveragePool", [graph.names[x]], f"{node.name}.pool")
    return pooled if keeps else graph.add("Flatten", [pooled], node.name, axis=1)


def _linear(graph: _Graph, node: _Node) -> str:
    x, w, b = _arguments(node, "input weight bias", {})
    return graph.add("Gemm", [graph.names[n] for n in (x, w, b) if n is not None], node.name, transB=1)


def _add(graph: _Graph, node: _Node) -> str:
    if node.kwargs.get("alpha", 1) != 1 or not all(isinstance(n, _Node) for n in node.args[:2]):
        raise ModelError(f"'{node.name}': only the sum of two tensors has a counterpart")
    return graph.add("Add", [graph.names[n] for n in node.args[:2] if isinstance(n, _Node)], node.name)


def _flatten(graph: _Graph, node: _Node) -> str:
    x = node.args[0]
    assert isinstance(x, _Node)
    shape, before = list(node.meta["val"].shape), x.meta["val"].shape
    if list(before) == shape:
        return graph.names[x]
    if len(shape) != 2 or shape[0] != before[0]:
        raise ModelError(f"'{node.name}': only flattening all dimensions behind the first has a counterpart, not {shape}")
    return graph.add("Flatten", [graph.names[x]], node.name, axis=1)


def _same(graph: _Graph, node: _Node) -> str:
    x = node.args[0]
    assert isinstance(x, _Node)
    return graph.names[x]


def _concat(graph: _Graph, node: _Node) -> str:
    tensors, axis = _arguments(node, "tensors dim", {"dim": 0})
    return graph.add("Concat", [graph.names[n] for n in tensors], node.name, axis=int(axis))


def _unary(op: str, **attributes: int) -> Callable[[_Graph, _Node], str]:
    return lambda graph, node: graph.add(op, [_same(graph, node)], node.name, **attributes)


_OPERATORS: dict[str, Callable[[_Graph, _Node], str]] = {
    "conv2d": _conv,
    "batch_norm": _norm,
    "relu": _unary("Relu"),
    "relu_": _unary("Relu"),
    "max_pool2d": _pool("MaxPool"),
    "avg_pool2d": _pool("AveragePool"),
    "adaptive_avg_pool2d": _adaptive,
    "mean": _mean,
    "linear": _linear,
    "add": _add,
    "add_": _add,
    "flatten": _flatten,
    "view": _flatten,
    "reshape": _flatten,
    "squeeze": _flatten,
    "dropout": _same,
    "dropout_": _same,
    "feature_dropout": _same,
    "contiguous": _same,
    "clone": _same,
    "cat": _concat,
    "concat": _concat,
    "softmax": _unary("Softmax", axis=1),
}


def to_onnx(module: nn.Module, input_shape: Sequence[int]) -> bytes:
    """The bytes of an ONNX file of a module for images of `input_shape`, (height, width, channels).

    Raises
    ------
    ModelError
        An operator without a counterpart, by its name and the line that called it; a module that `torch.export` cannot read.
    """
    height, width, channels = input_shape
    example = torch.zeros(1, channels, height, width)
    was_training = module.training
    try:
        exported = torch.export.export(module.eval(), (example,))
    except Exception as error:
        raise ModelError(f"torch.export cannot read the module: {error}") from error
    finally:
        module.train(was_training)
    graph = _Graph()
    tensors = {**exported.state_dict, **exported.constants}
    signature = exported.graph_signature
    sources = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    sources.update(getattr(signature, "inputs_to_lifted_tensor_constants", {}))
    output = ""
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            source = sources.get(node.name)
            graph.names[node] = "input" if source is None else graph.constant(node.name, tensors[source])
        elif node.op == "call_function":
            graph.names[node] = _converted(graph, node)
        elif node.op == "output":
            (result,) = node.args[0]
            output = graph.names[result]
            shape = result.meta["val"].shape
    return graph.bytes(output, (example.shape, shape))


def _converted(graph: _Graph, node: _Node) -> str:
    target = node.target
    name = getattr(target, "_opname", None) or str(target)
    convert = _OPERATORS.get(name)
    if convert is None:
        lines = [line.strip() for line in (node.stack_trace or "").splitlines() if line.strip()]
        place = f", called at: {lines[-2]} {lines[-1]}" if len(lines) > 1 else ""
        raise ModelError(f"operator '{name}' at '{node.name}' has no counterpart{place}")
    return convert(graph, node)
