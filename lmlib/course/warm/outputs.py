"""Outputs of a notebook put together as nbclient does: texts joined, displays updated, outputs cleared.

They come from a process that may be hostile: only the fields of nbformat are taken, each of its type, up to a size.
"""

from collections.abc import Callable
from typing import Any

CUT_OFF = "\n[the rest of the output of this cell is left out: it is longer than {} KiB]\n"

Output = dict[str, Any]


class Outputs:
    """The outputs of the cell that runs; displays are known over all cells.

    `cap` in characters for each cell, `total` for all of them together.
    """

    def __init__(self, cap: int | None = None, total: int | None = None) -> None:
        self._cap, self._left, self._size = cap, total, 0
        self._displays: dict[str, list[Output]] = {}
        self.begin()

    def begin(self) -> list[Output]:
        """A new cell; its list of outputs grows as they are added."""
        if self._cap is not None and self._left is not None:
            self._left -= min(self._size, self._cap)
            self._cap = min(self._cap, self._left)
        self._cell: list[Output] = []
        self._size = 0
        self._clear_before_next = False
        return self._cell

    def add(self, output: Any) -> None:
        """Add one output as it came; one that is none is left out."""
        kind = output.get("output_type") if isinstance(output, dict) else None
        form = FORMS.get(kind) if isinstance(kind, str) else None
        if form is None or self._is_too_much(output):
            return
        if output["output_type"] == "clear_output":
            self._clear_before_next = output.get("wait") is True
            if not self._clear_before_next:
                self._cell.clear()
            return
        clean = form(output)
        if output["output_type"] == "display_data" and output.get("update") is True:
            for shown in self._displays.get(str(output.get("display_id")), []):
                shown.update(data=clean["data"], metadata=clean["metadata"])
            return
        if self._clear_before_next:
            self._cell.clear()
            self._clear_before_next = False
        self._append(clean)
        if isinstance(output.get("display_id"), str):
            self._displays.setdefault(output["display_id"], []).append(clean)

    def _append(self, output: Output) -> None:
        last = self._cell[-1] if self._cell else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            self._cell.append(output)

    def _is_too_much(self, output: Output) -> bool:
        """Count an output, and say once that the rest is left out."""
        if self._cap is None:
            return False
        before = self._size
        self._size += _length(output)
        if self._size <= self._cap:
            return False
        if before <= self._cap:
            if output["output_type"] == "stream":
                clean = _stream(output)
                self._append({**clean, "text": clean["text"][: self._cap - before]})
            self._append({"output_type": "stream", "name": "stderr", "text": CUT_OFF.format(self._cap >> 10)})
        return True


def _length(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(key) + _length(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(map(_length, value)) + len(value)
    return len(value) if isinstance(value, str) else 8


def _stream(output: Output) -> Output:
    name = "stderr" if output.get("name") == "stderr" else "stdout"
    return {"output_type": "stream", "name": name, "text": str(output.get("text", ""))}


def _display(output: Output) -> Output:
    return {"output_type": "display_data", "data": _dict(output, "data"), "metadata": _dict(output, "metadata")}


def _result(output: Output) -> Output:
    count = output.get("execution_count")
    number = count if isinstance(count, int) else None
    return {**_display(output), "output_type": "execute_result", "execution_count": number}


def _error(output: Output) -> Output:
    lines = output.get("traceback")
    texts = {key: str(output.get(key, "")) for key in ("ename", "evalue")}
    return {"output_type": "error", **texts, "traceback": list(map(str, lines)) if isinstance(lines, list) else []}


def _dict(output: Output, key: str) -> dict[str, Any]:
    value = output.get(key)
    return value if isinstance(value, dict) else {}


FORMS: dict[str, Callable[[Output], Output]] = {
    "stream": _stream,
    "display_data": _display,
    "execute_result": _result,
    "error": _error,
    "clear_output": lambda output: output,
}
