"""QPyTorch's quantization functions and its module."""

from __future__ import annotations


import itertools
from typing import Any, Callable, Iterable

import torch
from torch import Tensor

from .. import torch as _torch
from ._number import BlockFloatingPoint, FixedPoint, FloatingPoint, Number

__all__ = ["Quantizer", "block_quantize", "fixed_point_quantize", "float_quantize", "manual_seed", "quantizer"]

# Stochastic calls are numbered, under one seed.
_seed = 0
_calls = itertools.count()
# As many random bits as a binary32 number has digits.
_ROUNDINGS = {"nearest": "nearest-even", "stochastic": "stochastic<24>"}


def manual_seed(seed: int) -> None:
    """Begins the random bits of stochastic calls anew from a seed; QPyTorch's cannot be set for floats and blocks."""
    global _seed, _calls
    _seed, _calls = int(seed), itertools.count()


def _random(rounding: str) -> dict[str, Any]:
    """Seed and step of a call."""
    return {"seed": _seed, "step": next(_calls)} if rounding == "stochastic" else {}


def _check(x: object, rounding: str) -> None:
    if not isinstance(x, torch.Tensor):
        raise AssertionError(f"x is {type(x).__name__}, not a tensor")
    if rounding not in _ROUNDINGS:
        raise AssertionError(f"invalid rounding mode, {rounding}; it is 'stochastic' or 'nearest'")


def fixed_point_quantize(
    x: Tensor, wl: int, fl: int, clamp: bool = True, symmetric: bool = False, rounding: str = "stochastic"
) -> Tensor:
    """A tensor in fixed point of `wl` bits, `fl` of them behind the point."""
    _check(x, rounding)
    if wl == -1 and fl != -1:
        raise ValueError(f"fixed point  wl {wl}, fl {fl}")
    return _fixed(x, FixedPoint(wl, fl, clamp, symmetric), rounding)


def _fixed(x: Tensor, number: FixedPoint, rounding: str) -> Tensor:
    wl, fl = number.wl, number.fl
    how, random = _ROUNDINGS[rounding], _random(rounding)
    if not number.clamp:
        # What lies beyond 24 bits has no digits behind the point.
        q = _torch.quantize(x, f"fixed<{32 - min(fl, 31)},{min(fl, 31)}>", how, **random)
        return torch.where(x.detach().abs() >= 2.0 ** (23 - fl), x.detach(), q)
    if not 2 <= wl <= 32:
        raise ValueError(f"wl={wl} must lie in 2..32")
    overflow = f"clip<{2 ** (wl - 1) - 1}>" if number.symmetric else "saturate"
    # Exact: a number times a power of two, so that the format has one bit before the point.
    shift = wl - 1 - fl
    if shift == 0:
        return _torch.quantize(x, f"fixed<1,{wl - 1}>", how, overflow, **random)
    if 0 < wl - fl:
        return _torch.quantize(x, f"fixed<{wl - fl},{fl}>", how, overflow, **random)
    return _torch.quantize(x.detach() * 2.0**-shift, f"fixed<1,{wl - 1}>", how, overflow, **random) * 2.0**shift


def block_quantize(x: Tensor, wl: int, dim: int = -1, rounding: str = "stochastic") -> Tensor:
    """A tensor in block floating point: integers of `wl` bits with one exponent, or one for each index of `dim`."""
    _check(x, rounding)
    return _torch.quantize(x, f"qtorch-block<{wl}>", rounding, axis=dim, **_random(rounding))


def float_quantize(x: Tensor, exp: int, man: int, rounding: str = "stochastic") -> Tensor:
    """A tensor in a float of `exp` exponent bits and `man` stored mantissa bits."""
    _check(x, rounding)
    return _torch.quantize(x, f"qtorch<{exp},{man}>", rounding, **_random(rounding))


def _quantize(x: Tensor, number: Number | None, rounding: str) -> Tensor:
    if number is None:
        return x
    if isinstance(number, FixedPoint):
        return _fixed(x, number, rounding)
    if isinstance(number, BlockFloatingPoint):
        return block_quantize(x, number.wl, number.dim, rounding)
    assert isinstance(number, FloatingPoint)
    return float_quantize(x, number.exp, number.man, rounding)


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, how: _How) -> Tensor:
        ctx.how, ctx.mask = how, None
        number = how.forward_number
        if how.clamping_grad_zero:
            ctx.mask = torch.zeros_like(x, dtype=torch.bool)
        if number is None:
            return x.view_as(x)
        if not how.clamping_grad_zero:
            return _quantize(x, number, how.forward_rounding)
        assert isinstance(number, FixedPoint)
        free = _fixed(x, FixedPoint(number.wl, number.fl, clamp=False), how.forward_rounding)
        high = 2.0 ** (number.wl - number.fl - 1) - 2.0**-number.fl
        low = -high if number.symmetric else -high - 2.0**-number.fl
        ctx.mask = (free > high) | (free < low)
        return free.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None
        how = ctx.how
        for hook in how.backward_hooks if how.clamping_grad_zero else ():
            grad = hook(grad)
        grad = _quantize(grad, how.backward_number, how.backward_rounding)
        return (grad if ctx.mask is None else grad.masked_fill(ctx.mask, 0)), None


class _How:
    """The arguments of `quantizer`."""

    def __init__(
        self,
        forward_number: Number | None,
        backward_number: Number | None,
        forward_rounding: str,
        backward_rounding: str,
        clamping_grad_zero: bool,
        hooks: Iterable[Callable[[Tensor], Tensor]],
    ) -> None:
        for rounding in (forward_rounding, backward_rounding):
            if rounding not in _ROUNDINGS:
                raise AssertionError(f"invalid rounding type {rounding}")
        for number in (forward_number, backward_number):
            if not (number is None or isinstance(number, Number)):
                raise AssertionError(f"{number!r} is no format of QPyTorch")
        if clamping_grad_zero and forward_number is not None:
            if not isinstance(forward_number, FixedPoint):
                raise ValueError("zeroing clamping gradient only support fixed point.")
            if not forward_number.clamp:
                raise AssertionError("must use clamping if zeroing out clamped gradient")
        self.forward_number, self.backward_number = forward_number, backward_number
        self.forward_rounding, self.backward_rounding = forward_rounding, backward_rounding
        self.clamping_grad_zero, self.backward_hooks = clamping_grad_zero, list(hooks)

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = _Rounding.apply(x, self)
        return out


def quantizer(
    forward_number: Number | None = None,
    backward_number: Number | None = None,
    forward_rounding: str = "stochastic",
    backward_rounding: str = "stochastic",
    clamping_grad_zero: bool = False,
    backward_hooks: Iterable[Callable[[Tensor], Tensor]] = (),
) -> Callable[[Tensor], Tensor]:
    """A function that quantizes what passes forward, and the gradient that comes back.

    `clamping_grad_zero` lets no gradient pass where fixed point held a number at a limit; `backward_hooks` are applied to the gradient in
    front of its quantization then, as QPyTorch does.
    """
    return _How(
        forward_number, backward_number, forward_rounding, backward_rounding, clamping_grad_zero, backward_hooks
    )


class Quantizer(torch.nn.Module):
    """`quantizer` as a module."""

    def __init__(
        self,
        forward_number: Number | None = None,
        backward_number: Number | None = None,
        forward_rounding: str = "stochastic",
        backward_rounding: str = "stochastic",
    ) -> None:
        super().__init__()
        self.quantize = quantizer(forward_number, backward_number, forward_rounding, backward_rounding)

    def forward(self, x: Tensor) -> Tensor:
        """The tensor, quantized."""
        return self.quantize(x)
