"""Training of neural networks in integers and small floats, bit for bit the same everywhere.

>>> import intrain
>>> (x, y), (xt, yt) = intrain.datasets.load("digits")
>>> net = intrain.Network("digits-cnn", "wage", epochs=2)
>>> net.fit(x, y, test=(xt, yt), progress=False)
<Network 'digits-cnn' with 'wage', 88 of 88 steps>
>>> net.state_dict()["conv1.weight"].dtype
dtype('int8')

Arrays go through the same quantizers:

>>> import numpy
>>> intrain.quantize(numpy.float32([0.3, -1.7, 99]), "Q4.4")
array([ 0.3125, -1.6875,  7.9375], dtype=float32)

Random bits come from a counter-based generator alone, so equal seeds give equal bits on every machine, at any number of
threads. What each bit means is written down in the project's docs/arithmetic.md.
"""

from . import datasets
from ._callbacks import Checkpoint, EarlyStop
from ._intrain import (
    ArtefactError,
    DataError,
    Encoded,
    Explanation,
    IntrainError,
    Model,
    ModelError,
    Recipe,
    RecipeError,
    __version__,
    decode,
    encode,
    explain,
    measure,
    quantize,
    set_threads,
    threads,
)
from ._network import Network, load
from ._sweep import Run, Sweep, sweep
from ._table import Table

__all__ = [
    "ArtefactError",
    "Checkpoint",
    "DataError",
    "EarlyStop",
    "Encoded",
    "Explanation",
    "IntrainError",
    "Model",
    "ModelError",
    "Network",
    "Recipe",
    "RecipeError",
    "Run",
    "Sweep",
    "Table",
    "__version__",
    "datasets",
    "decode",
    "encode",
    "explain",
    "load",
    "measure",
    "quantize",
    "set_threads",
    "sweep",
    "threads",
]
