"""A network: built, trained on arrays, asked, saved, loaded."""

from __future__ import annotations


import os
import subprocess
import sys
import tempfile
import warnings as _warnings

from typing import Any, Callable, Iterable, Protocol, Sequence, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _data
from ._intrain import ArtefactError, DataError, IntrainError, Model, Recipe, Session, Trained
from ._intrain import plan as _plan
from ._progress import Progress
from ._progress import progress as _progress
from ._table import Table

_UNTRAINED = "the network has not learned yet; call fit(x, y) first, or load one"
_Kind = TypeVar("_Kind", Model, Recipe)
_Part = Sequence[ArrayLike]
_Callback = Callable[["Network", "dict[str, Any]"], object]


class _Answers(Protocol):
    """What answers: a session, or a network that was loaded."""

    @property
    def weights_sha256(self) -> str: ...

    def logits(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[Any], int]: ...

    def state_dict(self) -> dict[str, NDArray[Any]]: ...


class Network:
    """A network that is trained with a recipe.

    Parameters
    ----------
    model : str or Model
        The name of a preset such as 'lenet5' (it takes the data's size and classes), the path of a TOML file or its text.
    recipe : str or Recipe, optional
        The name of a preset such as 'wage', a path or a text; without it, the network's own.
    seed : int
        Of every random bit: equal seeds give equal weights, on every machine and at any number of threads.
    epochs : int, optional
        Passes over the training images; without it, the recipe's own.
    threads : int
        0 is one for each CPU. No bit depends on it.
    range : (low, high), optional
        The numbers that become 0 and 255, where images or features are floats. Without it images are in 0..1, and each feature of a
        table [n, features] has the range that it has in the training images.
    **settings
        Every setting of a run by its name, such as learning_rate, batch_size, momentum, schedule, patience or norm_batches.

    Attributes
    ----------
    history : Table
        A record for each epoch: loss, errors, and what the microscope saw of each layer and role. pandas takes it as it is.
    classes_ : array
        The classes in the order of the logits, once it has learned.

    Examples
    --------
    >>> import intrain
    >>> (x, y), (xt, yt) = intrain.datasets.load("digits")
    >>> net = intrain.Network("digits-cnn", "wage", epochs=2).fit(x, y, progress=False)
    >>> net.predict(xt[:3]).shape
    (3,)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model,
        recipe: str | os.PathLike[str] | Recipe | None = None,
        *,
        seed: int = 1,
        epochs: int | None = None,
        threads: int = 0,
        range: tuple[float, float] | None = None,
        **settings: Any,
    ) -> None:
        self.model = _as(Model, model, "model")
        self.recipe = None if recipe is None else _as(Recipe, recipe, "recipe")
        if epochs is not None:
            settings["epochs"] = epochs
        self._settings = [f"seed={int(seed)}", *(f"{key}={_toml(value)}" for key, value in settings.items())]
        self._threads = threads
        self._range = None if range is None else _data.Encoder(*range)
        self._encoder: _data.Encoder | None = self._range
        self._session: Session | None = None
        self._trained: Trained | None = None
        self._saved: bytes | None = None
        self.classes_: NDArray[Any] | None = None
        self.history = Table()

    def plan(self) -> Table:
        """What will run: every operation of a step with its format, whether it is float, and how many bits its sum may need.

        Raises
        ------
        ModelError, RecipeError
            Recipe and network do not go together; the message says where and what to do.
        """
        records, notes, title = _plan(self.model, self.recipe, self._settings)
        return Table(records, title, notes)

    def fit(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        validation: _Part | None = None,
        test: _Part | None = None,
        classes: Iterable[object] | None = None,
        name: str = "arrays",
        callbacks: _Callback | Iterable[_Callback] = (),
        progress: bool | None = None,
    ) -> Network:
        """Learns from images and labels, from initial weights on; without them, goes on where it was stopped.

        Ctrl-C takes effect behind a step and raises KeyboardInterrupt; the state is kept, and ``fit()`` goes on to the same bits.

        Parameters
        ----------
        x : array
            Images [n, height, width, channels] or [n, height, width], or a table [n, features]. uint8 is taken as it is, floats by
            the encoder that ``range`` tells of.
        y : array
            The class of each: whole numbers from 0 on, or other labels.
        validation, test : (x, y), optional
            Images that are measured after each epoch. The best epoch is the one with the lowest error on those for validation, or on
            those to test.
        classes : list of str, optional
            Names of the classes, for the saved file.
        name : str
            What the data are called in the saved file.
        callbacks : function or list of functions
            Each is called after each epoch with the network and the epoch's record, and ends the training by giving True.
        progress : bool, optional
            Whether it tells how far it is; without it, on a terminal and in a notebook.

        Returns
        -------
        Network
            Itself.

        Raises
        ------
        DataError
            Images or labels that do not fit.
        IntrainError
            A setting that is none, and a training whose loss is not finite any more.
        """
        called = [callbacks] if callable(callbacks) else list(callbacks)
        for callback in called:
            if not callable(callback):
                raise TypeError(f"callbacks has {callback!r}, which cannot be called; give functions of (network, record)")
        if x is not None:
            self._begin(x, y, validation, test, classes, name)
            for callback in called:
                getattr(callback, "begin", lambda: None)()
        elif self._session is None:
            raise IntrainError("there is nothing to go on with; give images and labels, as fit(x, y)")
        self._run(called, _progress(progress))
        return self

    def _begin(
        self,
        x: ArrayLike,
        y: ArrayLike | None,
        validation: _Part | None,
        test: _Part | None,
        classes: Iterable[object] | None,
        name: str,
    ) -> Session:
        if y is None:
            raise DataError("y is missing; give the class of each image")
        pixels, encoder = _data.images(x, "x", self._range, learns=True)
        known = _data.classes_of(y)
        names = [str(c) for c in (known if classes is None else classes)]
        if len(names) < len(known):
            raise DataError(f"classes has {len(names)} names, and y tells {len(known)} classes apart")
        if np.asarray(y).dtype.kind in "iu":
            known = np.arange(len(names))

        def part(given: _Part | None, what: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
            if given is None:
                return None
            x, y = given
            return _data.images(x, f"{what}[0]", encoder)[0], _data.labels(y, known, f"{what}[1]")

        session = Session(
            self.model,
            self.recipe,
            name=name,
            train=(pixels, _data.labels(y, known)),
            validation=part(validation, "validation"),
            test=part(test, "test"),
            classes=names,
            encoder=None if encoder is None else encoder.to_toml(),
            settings=[*self._settings, *self._start()],
            threads=self._threads,
        )
        self._session, self.classes_ = session, known
        self._encoder, self._trained, self._saved = encoder, None, None
        self.history = Table(title=f"{self.model.name} with {self._recipe_name()}")
        return session

    def _start(self) -> list[str]:
        """The setting that says with which weights it begins, of a model that brings some."""
        weights = self.model.weights
        if weights is None:
            return []
        # The run reads the file again when its first epoch ends, so it stays as long as the network.
        self._folder = tempfile.TemporaryDirectory()
        path = os.path.join(self._folder.name, "model.safetensors")
        with open(path, "wb") as file:
            file.write(weights)
        return [f"init={_toml(path)}"]

    def _run(self, callbacks: list[_Callback], bar: Progress | None) -> None:
        session = self._session
        assert session is not None

        def warned(message: str) -> None:
            _warnings.warn(message, stacklevel=4)

        told = None if bar is None else bar.step
        try:
            # A run without a step is evaluated once, as it begins.
            while not session.is_done or (session.n_steps[0] == 0 and not self.history):
                record = session.fit_epoch(told, warned)
                if record is None:
                    continue
                self.history.append(record)
                if bar is not None:
                    bar.epoch(record)
                if any([callback(self, record) for callback in callbacks]):
                    break
        finally:
            if bar is not None:
                bar.end()

    @property
    def is_done(self) -> bool:
        """Whether all steps are done."""
        return self._trained is not None or (self._session is not None and self._session.is_done)

    def logits(self, x: ArrayLike) -> tuple[NDArray[Any], int]:
        """What the network answers, with every rounding as the deployed network has it.

        Returns
        -------
        (logits, frac_bits)
            Integers [n, classes] as int64, each worth 2^-frac_bits: the same on every machine and in every export. Of a network
            whose logits are floats: float32 and 0.
        """
        network = self._network()
        pixels, _ = _data.images(x, "x", self._encoder)
        logits, frac_bits = network.logits(pixels)
        return logits.reshape(len(pixels), -1), frac_bits

    def predict(self, x: ArrayLike) -> NDArray[Any]:
        """The class of each image, as ``y`` named it."""
        logits, _ = self.logits(x)
        assert self.classes_ is not None
        answers: NDArray[Any] = self.classes_[logits[:, : len(self.classes_)].argmax(axis=1)]
        return answers

    def score(self, x: ArrayLike, y: ArrayLike) -> float:
        """The share of images whose class is predicted, 0 to 1."""
        return float((self.predict(x) == np.asarray(y)).mean())

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """The stored tensors by name, in the integers that are stored: what `save` writes."""
        return self._network().state_dict()

    @property
    def weights_sha256(self) -> str:
        """SHA-256 over the stored weights, as the command prints it."""
        return self._network().weights_sha256

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network as ``model.safetensors``, whole or not at all; the command and `load` read it."""
        path = os.fspath(path)
        if self._session is not None:
            self._session.save(path)
            return
        write_whole(path, self._bytes())

    def export(self, to: str, out: str | os.PathLike[str], *flags: str) -> None:
        """Brings the network elsewhere, as ``intrain export`` does.

        Parameters
        ----------
        to : str
            'c', 'rust', 'onnx', 'qonnx' or another target of the command.
        out : str or path
            The folder or file.
        *flags : str
            Further flags of the command.

        Raises
        ------
        ArtefactError
            What the command refuses.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.safetensors")
            with open(path, "wb") as file:
                file.write(self._bytes())
            words = ["export", path, "--to", to, "--out", os.fspath(out), *flags]
            done = subprocess.run([sys.executable, "-m", "intrain", *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise ArtefactError(done.stderr.strip().removeprefix("error: "))

    def _bytes(self) -> bytes:
        """The bytes of its file."""
        if self._saved is not None:
            return self._saved
        if self._session is None:
            raise IntrainError(_UNTRAINED)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.safetensors")
            self._session.save(path)
            with open(path, "rb") as file:
                return file.read()

    def __getstate__(self) -> dict[str, Any]:
        """A network travels as its file: what comes out answers alike, and learns anew with ``fit(x, y)``."""
        state = {key: value for key, value in vars(self).items() if key not in ("_session", "_trained", "_saved", "_folder")}
        has_learned = self._session is not None or self._trained is not None
        return {**state, "_saved": self._bytes() if has_learned else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._session, self._trained = None, None
        if self._saved is not None:
            self._trained = Trained(self._saved, "model.safetensors", self._threads)

    def _network(self) -> _Answers:
        network = self._trained or self._session
        if network is None:
            raise IntrainError(_UNTRAINED)
        return network

    def _recipe_name(self) -> str:
        return self.recipe.label if self.recipe is not None else "its own recipe"

    def __repr__(self) -> str:
        recipe = f" with '{self.recipe.label}'" if self.recipe is not None else ""
        if self._session is not None:
            state = f"{self._session.step:,} of {self._session.n_steps[0]:,} steps"
        else:
            state = "trained" if self._trained is not None else "not trained"
        return f"<Network '{self.model.name}'{recipe}, {state}>"


def load(path: str | os.PathLike[str], *, threads: int = 0) -> Network:
    """A trained network from its ``model.safetensors`` or the folder of a run, to be asked.

    Raises
    ------
    ArtefactError
        The file is missing, damaged, or of another program.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "model.safetensors")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot read: {error.strerror}; name a run folder or its model.safetensors") from None
    trained = Trained(data, path, threads)
    model, recipe, classes, encoder = trained.about
    network = Network(Model(model), Recipe(recipe), threads=threads)
    network._trained, network._saved = trained, data
    network._encoder = None if encoder is None else _data.Encoder.from_toml(encoder)
    numbers = [str(i) for i in range(len(classes))]
    network.classes_ = np.arange(len(classes)) if classes == numbers else np.array(classes)
    return network


def write_whole(path: str, data: bytes) -> None:
    """Writes a file whole or not at all."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "xb") as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.unlink(part)
                raise
        os.replace(part, path)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot write: {error.strerror}; name a file in a folder that you may write to") from None


def _as(kind: type[_Kind], given: object, what: str) -> _Kind:
    if isinstance(given, kind):
        return given
    if isinstance(given, (str, os.PathLike)):
        return kind(os.fspath(given))
    raise TypeError(
        f"{what} is {given!r}; give the name of a preset, the path or text of a TOML file, or an intrain.{kind.__name__}"
    )


def _toml(value: object) -> str:
    """A setting's value as ``--set`` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, (int, float, np.integer, np.floating)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    raise TypeError(f"a setting is a number, a text or a list of them, not {value!r}")
