"""QPyTorch's names, with its numbers, on Intrain's kernels: a script ports by its import lines.

``from qtorch import FixedPoint`` becomes ``from intrain.qtorch import FixedPoint``, and likewise `intrain.qtorch.quant`,
`intrain.qtorch.optim` and `intrain.qtorch.auto_low`; all public names are in `intrain.qtorch` itself, too.

Nearest rounding gives QPyTorch's numbers, and so does float and block floating point, whose treatment of small numbers and of limits
is QPyTorch's own. Stochastic rounding draws from Intrain's counter-based generator: `manual_seed` sets it, equal seeds give equal numbers
at any number of threads, and a number that lies on the grid stays where it is (QPyTorch moves some of them). Nothing is compiled at
import.
"""

from ..torch import OptimLP
from ._number import BlockFloatingPoint, FixedPoint, FloatingPoint, Number
from .auto_low import lower, sequential_lower
from .quant import (
    Quantizer,
    block_quantize,
    fixed_point_quantize,
    float_quantize,
    manual_seed,
    quantizer,
)

__all__ = [
    "BlockFloatingPoint",
    "FixedPoint",
    "FloatingPoint",
    "Number",
    "OptimLP",
    "Quantizer",
    "block_quantize",
    "fixed_point_quantize",
    "float_quantize",
    "lower",
    "manual_seed",
    "quantizer",
    "sequential_lower",
]
