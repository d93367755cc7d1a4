"""How far a training is: a line on a terminal, a bar in a notebook."""

from __future__ import annotations


import sys
from typing import Any, Protocol


class Progress(Protocol):
    """Whom a training tells how far it is."""

    def step(self, step: int, n_steps: int, epoch: int, loss: float, error: float, speed: float) -> None: ...

    def epoch(self, record: dict[str, Any]) -> None: ...

    def end(self) -> None: ...


def progress(wanted: bool | None) -> Progress | None:
    """Something to tell of steps and epochs, or None. ``wanted`` is True, False, or None: where somebody looks."""
    if wanted is False:
        return None
    if _in_notebook():
        return _Notebook()
    if wanted or (sys.stderr is not None and sys.stderr.isatty()):
        return _Terminal()
    return None


def _in_notebook() -> bool:
    """Whether cells show HTML."""
    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell else None
    return shell is not None and "IPKernelApp" in shell.config


class _Terminal:
    def __init__(self) -> None:
        self.width = 0

    def step(self, step: int, n_steps: int, epoch: int, loss: float, error: float, speed: float) -> None:
        filled = int(24 * step / max(n_steps, 1))
        bar = "=" * filled + ">" * (filled < 24) + " " * (23 - filled)
        self._write(f"[{bar}] {_words(step, n_steps, epoch, loss, error, speed)}", end="")

    def epoch(self, record: dict[str, Any]) -> None:
        self._write(_epoch(record), end="\n")

    def note(self, text: str) -> None:
        self._write(text, end="\n")

    def end(self) -> None:
        if self.width:
            self._write("", end="\r")

    def _write(self, text: str, end: str) -> None:
        sys.stderr.write("\r" + text.ljust(self.width) + end)
        sys.stderr.flush()
        self.width = len(text) if end == "" else 0


class _Notebook:
    def __init__(self) -> None:
        import IPython.display

        shown: Any = IPython.display
        self.html = shown.HTML
        self.lines: list[str] = []
        self.handle = shown.display(self.html("<progress></progress>"), display_id=True)

    def step(self, step: int, n_steps: int, epoch: int, loss: float, error: float, speed: float) -> None:
        words = _words(step, n_steps, epoch, loss, error, speed)
        self._show(f'<progress value="{step}" max="{n_steps}" style="width:16em"></progress> {words}')

    def epoch(self, record: dict[str, Any]) -> None:
        self.lines.append(_epoch(record))

    def note(self, text: str) -> None:
        self.lines.append(text)

    def end(self) -> None:
        self._show("")

    def _show(self, bar: str) -> None:
        from html import escape

        lines = "".join(f"<div>{escape(line)}</div>" for line in self.lines)
        self.handle.update(self.html(f'<div style="font-family:monospace">{lines}<div>{bar}</div></div>'))


def _words(step: int, n_steps: int, epoch: int, loss: float, error: float, speed: float) -> str:
    return f"epoch {epoch + 1}, step {step:,} of {n_steps:,}, loss {loss:.4f}, error {error:.2%}, {speed:,.0f} images/s"


def _epoch(record: dict[str, Any]) -> str:
    parts = [f"epoch {record['epoch']}", f"loss {record['train_loss']:.4f}"]
    for part in ("validation", "test"):
        error = record[f"{part}_error"]
        if error is not None:
            parts.append(f"{part} error {error:.2%}")
    return ", ".join(parts)
