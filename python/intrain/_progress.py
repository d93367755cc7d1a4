"""How far a training is: a line on a terminal, a bar in a notebook."""

import sys


def progress(wanted):
    """Something to tell of steps and epochs, or None. ``wanted`` is True, False, or None: where somebody looks."""
    if wanted is False:
        return None
    if _in_notebook():
        return _Notebook()
    if wanted or (sys.stderr is not None and sys.stderr.isatty()):
        return _Terminal()
    return None


def _in_notebook():
    """Whether cells show HTML."""
    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell else None
    return shell is not None and "IPKernelApp" in shell.config


class _Terminal:
    def __init__(self):
        self.width = 0

    def step(self, step, n_steps, epoch, loss, error, speed):
        filled = int(24 * step / max(n_steps, 1))
        bar = "=" * filled + ">" * (filled < 24) + " " * (23 - filled)
        self._write(f"[{bar}] {_words(step, n_steps, epoch, loss, error, speed)}", end="")

    def epoch(self, record):
        self._write(_epoch(record), end="\n")

    def note(self, text):
        self._write(text, end="\n")

    def end(self):
        if self.width:
            self._write("", end="\r")

    def _write(self, text, end):
        sys.stderr.write("\r" + text.ljust(self.width) + end)
        sys.stderr.flush()
        self.width = len(text) if end == "" else 0


class _Notebook:
    def __init__(self):
        from IPython.display import HTML, display

        self.html = HTML
        self.lines = []
        self.handle = display(HTML("<progress></progress>"), display_id=True)

    def step(self, step, n_steps, epoch, loss, error, speed):
        words = _words(step, n_steps, epoch, loss, error, speed)
        self._show(f'<progress value="{step}" max="{n_steps}" style="width:16em"></progress> {words}')

    def epoch(self, record):
        self.lines.append(_epoch(record))

    def note(self, text):
        self.lines.append(text)

    def end(self):
        self._show("")

    def _show(self, bar):
        from html import escape

        lines = "".join(f"<div>{escape(line)}</div>" for line in self.lines)
        self.handle.update(self.html(f'<div style="font-family:monospace">{lines}<div>{bar}</div></div>'))


def _words(step, n_steps, epoch, loss, error, speed):
    return f"epoch {epoch + 1}, step {step:,} of {n_steps:,}, loss {loss:.4f}, error {error:.2%}, {speed:,.0f} images/s"


def _epoch(record):
    parts = [f"epoch {record['epoch']}", f"loss {record['train_loss']:.4f}"]
    for part in ("validation", "test"):
        error = record[f"{part}_error"]
        if error is not None:
            parts.append(f"{part} error {error:.2%}")
    return ", ".join(parts)
