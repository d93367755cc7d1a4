"""The formats of QPyTorch."""

from __future__ import annotations



class Number:
    """A format."""


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)


class FixedPoint(Number):
    """Fixed point of `wl` bits, `fl` of them behind the point: from -2^(wl-fl-1) to 2^(wl-fl-1) - 2^-fl in steps of 2^-fl.

    `clamp` holds numbers in that range; without it only the step counts. `symmetric` leaves out the smallest number.
    """

    def __init__(self, wl: int, fl: int, clamp: bool = True, symmetric: bool = False) -> None:
        _check(wl > 0, f"invalid bits for word length: {wl}")
        _check(fl > 0, f"invalid bits for fractional length: {fl}")
        _check(isinstance(clamp, bool), f"invalid type for clamping choice: {type(clamp)}")
        _check(isinstance(symmetric, bool), f"invalid type for symmetric: {type(symmetric)}")
        self.wl, self.fl, self.clamp, self.symmetric = wl, fl, clamp, symmetric

    def __repr__(self) -> str:
        return f"FixedPoint (wl={self.wl:d}, fl={self.fl:d})"


class FloatingPoint(Number):
    """A float of `exp` exponent bits and `man` stored mantissa bits, as QPyTorch has it."""

    def __init__(self, exp: int, man: int) -> None:
        _check(8 >= exp > 0, f"invalid bits for exponent:{exp}")
        _check(23 >= man > 0, f"invalid bits for mantissa:{man}")
        self.exp, self.man = exp, man

    def __repr__(self) -> str:
        return f"FloatingPoint (exponent={self.exp:d}, mantissa={self.man:d})"


class BlockFloatingPoint(Number):
    """Integers of `wl` bits that share the exponent of the largest: one for the tensor (dim -1), or one for each index of `dim`."""

    def __init__(self, wl: int, dim: int = -1) -> None:
        _check(isinstance(wl, int) and wl > 0, f"invalid bits for word length:{wl}")
        _check(isinstance(dim, int) and dim >= -1, "invalid dimension")
        self.wl, self.dim = wl, dim

    def __repr__(self) -> str:
        return f"BlockFloatingPoint (wl={self.wl:d}, dim={self.dim:d})"
