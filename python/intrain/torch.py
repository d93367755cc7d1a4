"""Quantizers in PyTorch: functions, modules with a forward and a backward row, optimizers whose tensors are quantized.

>>> import torch, intrain.torch as it
>>> act = it.Quantizer("unit<8> nearest-even saturate clipped", backward="fixed<3,13> stochastic<16>", seed=1)
>>> x = torch.tensor([0.3, -2.0], requires_grad=True)
>>> act(x).detach()
tensor([ 0.2969, -0.9922])
>>> act(x).sum().backward()
>>> x.grad
tensor([1., 0.])

The texts are those of a recipe's rows. What each bit means is written down in the project's docs/arithmetic.md. Random bits are a
function of seed, step and the element's place, so a module that is saved and loaded goes on with the bits that it would have had.
Tensors lie in main memory; float32, float64, bfloat16 and float16 go in and out.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

import torch
from torch import Tensor

from ._intrain import quantize as _array
from ._intrain import Row
from ._intrain import row as _parsed

__all__ = ["OptimLP", "Quantizer", "quantize", "quantize_"]

_row = functools.lru_cache(maxsize=1024)(_parsed)
_Quant = Callable[[Tensor], Tensor]


def quantize(
    x: Tensor,
    format: str,
    rounding: str | None = None,
    overflow: str | None = None,
    *,
    axis: int = -1,
    seed: int | None = None,
    step: int = 0,
) -> Tensor:
    """The values of a tensor in a format: a new tensor of its type, without a gradient (`Quantizer` has one).

    Parameters are those of `intrain.quantize`. The number of an element, on which its random bits depend, is its place in the
    contiguous tensor; of a channels-last tensor without blocks it is its place in memory. NaN stays NaN in small floats that have it,
    and is an error in fixed point.
    """
    return _quantized(x, _row(format, rounding, overflow), axis, seed, step)


def quantize_(
    x: Tensor,
    format: str,
    rounding: str | None = None,
    overflow: str | None = None,
    *,
    axis: int = -1,
    seed: int | None = None,
    step: int = 0,
) -> Tensor:
    """The same in place of a tensor or a view of one, which it gives."""
    with torch.no_grad():
        return x.copy_(_quantized(x, _row(format, rounding, overflow), axis, seed, step))


def _quantized(x: Tensor, row: Row, axis: int, seed: int | None, step: int) -> Tensor:
    if x.device.type != "cpu":
        raise ValueError(f"the tensor is on {x.device}; quantizers compute in main memory: use x.cpu()")
    x = x.detach()
    if x.dtype is not torch.float32:
        if not x.dtype.is_floating_point:
            raise TypeError(f"the tensor is of {x.dtype}; convert it to floats, as with x.float()")
        if x.dtype is torch.float64 and row.is_fixed:
            # Numbers of binary64 are rounded once.
            return torch.from_numpy(_array(x.contiguous().numpy(), row.text, seed=seed, step=step))
        return _quantized(x.float(), row, axis, seed, step).to(x.dtype)
    if not x.is_contiguous():
        if not row.has_blocks and x.is_contiguous(memory_format=torch.channels_last):
            return _quantized(x.permute(0, 2, 3, 1), row, axis, seed, step).permute(0, 3, 1, 2)
        x = x.contiguous()
    out = torch.empty_like(x)
    nan = "raise" if row.is_fixed else "propagate"
    _array(x.numpy(), row.text, axis=axis, seed=seed, step=step, nan=nan, out=out.numpy())
    return out


def _passed(grad: Tensor, x: Tensor | None, row: Row | None) -> Tensor:
    """The gradient behind a forward row: what its surrogate makes of it."""
    if row is None or x is None or row.surrogate == "":
        return grad
    low, high = row.limits
    if row.surrogate == "clipped":
        return torch.where((x >= low) & (x <= high), grad, torch.zeros((), dtype=grad.dtype))
    # HWGQ, arXiv 1702.00953 section 3.2: as if the forward pass ended in a logarithm; nothing passes below 0.
    tailed = torch.where(x > high, grad / (x - (high - 1)), grad)
    return torch.where(x > 0, tailed, torch.zeros((), dtype=grad.dtype))


def _back(
    grad: Tensor, x: Tensor | None, forward: Row | None, backward: Row | None, axis: int, seed: int, step: int
) -> Tensor:
    grad = _passed(grad, x, forward)
    return grad if backward is None else _quantized(grad, backward, axis, seed, 2 * step + 1)


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, forward: Row | None, backward: Row | None, axis: int, seed: int, step: int
    ) -> Tensor:
        ctx.how = forward, backward, axis, seed, step
        ctx.save_for_backward(x if forward is not None and forward.surrogate else None)
        return x.view_as(x) if forward is None else _quantized(x, forward, axis, seed, 2 * step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return _back(grad, x, *ctx.how), None, None, None, None, None


# What torch.compile and torch.export see in place of it: an operator without an inside.


@torch.library.custom_op("intrain::quantize", mutates_args=())
def _forward_op(
    x: torch.Tensor, forward: str, backward: str, axis: int, seed: int, step: torch.Tensor
) -> torch.Tensor:
    if not forward:
        return x.clone()
    return _quantized(x, _row(forward), axis, seed, 2 * int(step)).clone(memory_format=torch.contiguous_format)


@_forward_op.register_fake
def _(x: Tensor, forward: str, backward: str, axis: int, seed: int, step: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("intrain::quantize_backward", mutates_args=())
def _backward_op(
    grad: torch.Tensor, x: torch.Tensor, forward: str, backward: str, axis: int, seed: int, step: torch.Tensor
) -> torch.Tensor:
    row, back = (_row(text) if text else None for text in (forward, backward))
    return _back(grad, x, row, back, axis, seed, int(step)).clone(memory_format=torch.contiguous_format)


@_backward_op.register_fake
def _(grad: Tensor, x: Tensor, forward: str, backward: str, axis: int, seed: int, step: Tensor) -> Tensor:
    return torch.empty_like(grad, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.how, step = inputs
    # The counter goes on behind this call.
    ctx.save_for_backward(x, step.clone())


def _derivative(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, step = ctx.saved_tensors
    return _backward_op(grad, x, *ctx.how, step), None, None, None, None, None


_forward_op.register_autograd(_derivative, setup_context=_keep)


class Quantizer(torch.nn.Module):
    """Quantizes what passes forward by one row, and the gradient that comes back by another.

    Parameters
    ----------
    forward : str, optional
        A row such as 'unit<8> nearest-even saturate clipped', 'levels<0.538,1.076,1.614> log-tailed' or 'mxfp8'; without it the
        tensor passes as it is. Its last word says how the gradient passes: as if nothing were rounded (straight through), 'clipped' (0
        where the number lay outside of the format), or 'log-tailed' (HWGQ).
    backward : str, optional
        The row of the gradient, behind that rule.
    seed : int, needed by stochastic roundings
        Give each module of a model its own: those with equal seeds have equal random bits.
    axis : int
        The axis along which blocks run.

    Notes
    -----
    `calls` counts the calls in training, and the random bits are those of its number: it is a buffer, so ``state_dict`` takes a module up
    to the bit. In ``eval()`` nothing is random: a constant stands for the random number, as in a deployed network. Under
    ``torch.utils.checkpoint`` a call that is computed anew has the bits that it had.
    """

    calls: Tensor

    def __init__(
        self, forward: str | None = None, backward: str | None = None, *, seed: int | None = None, axis: int = -1
    ) -> None:
        super().__init__()
        self.rows = tuple(None if text is None else _row(text) for text in (forward, backward))
        for row in self.rows:
            if row is not None and row.is_stochastic and seed is None:
                raise TypeError(f"{row.text} needs seed=; give each module its own")
        self.seed, self.axis = 0 if seed is None else int(seed), axis
        self._is_random = any(row is not None and row.is_stochastic for row in self.rows)
        self._since_backward = 0
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """The tensor, quantized."""
        rows = self.rows if self.training else self._settled()
        if torch.compiler.is_compiling():
            texts = ["" if row is None else _full(row) for row in rows]
            out: Tensor = _forward_op(x, *texts, self.axis, self.seed, self.calls)
            if self.training and self._is_random:
                self.calls.add_(1)
            return out
        step = int(self.calls) if self._is_random else 0
        if self.training and self._is_random:
            step = self._counted(step)
        out = _Rounding.apply(x, *rows, self.axis, self.seed, step)
        return out

    def _counted(self, calls: int) -> int:
        """The number of this call, which is counted; of one that a checkpoint computes anew, the number that it had."""
        if torch._C._current_graph_task_id() == -1:
            self._since_backward += 1
            self.calls.add_(1)
            return calls
        if self._since_backward != 1:
            raise RuntimeError(
                f"a checkpoint computes a call anew of a quantizer that was called {self._since_backward} times; give each call a "
                "quantizer of its own"
            )
        return calls - 1

    def _settled(self) -> tuple[Row | None, ...]:
        """The rows as they hold outside of training."""
        return tuple(None if row is None else _row(_full(row, row.evaluation)) for row in self.rows)

    def extra_repr(self) -> str:
        """Its rows."""
        texts = [f"{name}='{_full(row)}'" for name, row in zip(("forward", "backward"), self.rows) if row is not None]
        return ", ".join([*texts, *([f"seed={self.seed}"] if self._is_random else [])])

    def __getstate__(self) -> dict[str, Any]:
        texts = tuple(None if row is None else _full(row) for row in self.rows)
        return {**vars(self), "rows": texts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        rows = tuple(None if text is None else _row(text) for text in state["rows"])
        super().__setstate__({**state, "rows": rows})  # type: ignore[no-untyped-call]


def _full(row: Row, text: str | None = None) -> str:
    """A row's text with its surrogate."""
    return f"{text or row.text} {row.surrogate}".rstrip()


class OptimLP(torch.optim.Optimizer):
    """An optimizer whose gradients, momenta and weights are quantized: QPyTorch's optimizer of that name.

    Each argument is a function from tensor to tensor, such as a `Quantizer` or ``lambda x: it.quantize(x, 'Q4.12')``.

    Parameters
    ----------
    optim : torch.optim.SGD, Adam or another whose state holds momenta
    weight_quant, grad_quant, momentum_quant, acc_quant : callable, optional
        Of weights behind a step; of gradients, times ``grad_scaling``, in front of it; of momenta behind it; of the weights that the
        optimizer changes, where those that the model reads are quantized further.
    grad_scaling : float
        A factor of gradients.
    """

    _MOMENTA = ("momentum_buffer", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        optim: torch.optim.Optimizer,
        weight_quant: _Quant | None = None,
        grad_scaling: float = 1.0,
        grad_quant: _Quant | None = None,
        momentum_quant: _Quant | None = None,
        acc_quant: _Quant | None = None,
    ) -> None:
        if not isinstance(optim, torch.optim.Optimizer):
            raise TypeError(f"optim is {optim!r}; give an optimizer of torch.optim")
        if not grad_scaling > 0:
            raise ValueError(f"grad_scaling={grad_scaling} must be above 0")
        super().__init__(optim.param_groups, optim.defaults)
        self.optim = optim
        self.param_groups = optim.param_groups
        self.state = optim.state
        self.grad_scaling = grad_scaling
        self.weight_quant, self.grad_quant = weight_quant, grad_quant
        self.momentum_quant, self.acc_quant = momentum_quant, acc_quant
        self.weight_acc: dict[Tensor, Tensor] = {}
        if acc_quant is not None:
            self.weight_acc = {p: p.detach().clone() for p in self._parameters()}

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of the optimizer between quantized tensors."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parameters = self._parameters()
        if self.grad_quant is not None:
            for p in parameters:
                if p.grad is not None:
                    p.grad.copy_(self.grad_quant(p.grad * self.grad_scaling))
        if self.acc_quant is not None:
            for p in parameters:
                p.copy_(self.weight_acc[p])
        self.optim.step()
        for p in parameters:
            if self.acc_quant is not None:
                self.weight_acc[p].copy_(self.acc_quant(p.detach()))
                p.copy_(self.weight_acc[p])
            if self.weight_quant is not None:
                p.copy_(self.weight_quant(p.detach()))
        if self.momentum_quant is not None:
            for p in parameters:
                state = self.optim.state.get(p, {})
                for key in self._MOMENTA:
                    if p.grad is not None and isinstance(state.get(key), torch.Tensor):
                        state[key].copy_(self.momentum_quant(state[key]))
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As the optimizer's."""
        self.optim.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's, with the weights that it changes, where those are kept."""
        kept = [self.weight_acc[p] for p in self._parameters()] if self.weight_acc else []
        return {"optim": self.optim.state_dict(), "weight_acc": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave."""
        self.optim.load_state_dict(state_dict["optim"])
        self.param_groups, self.state = self.optim.param_groups, self.optim.state
        for p, kept in zip(self._parameters(), state_dict["weight_acc"]):
            self.weight_acc[p].copy_(kept)

    def __repr__(self) -> str:
        return f"OptimLP: {self.optim!r}"
