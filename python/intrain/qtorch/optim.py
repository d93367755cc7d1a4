"""QPyTorch's optimizer."""

from ..torch import OptimLP

__all__ = ["OptimLP"]
