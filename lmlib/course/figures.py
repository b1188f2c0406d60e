"""What a function has drawn, as plain data: the contents of one Axes, without colours, sizes and fonts."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lmlib.course.calling import call, outcome_of
from lmlib.course.plain_data import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.lines import Line2D

NEEDED = {  # what is there or is not, and what is said when it is missing
    "title": "there is no title",
    "legend": "there is no legend that names all that has a label",
}
PARTS = {  # what is compared, and what it is called
    "x_label": "the label of the x axis",
    "y_label": "the label of the y axis",
    "x_scale": "the scale of the x axis",
    "y_scale": "the scale of the y axis",
    "x_names": "what stands at the ticks of the x axis",
    "y_names": "what stands at the ticks of the y axis",
    "lines": "the set of lines",
    "points": "the set of points",
    "bars": "the set of bars",
    "images": "the set of images",
}


def draw(function: Callable, inputs: dict[str, Any]) -> Outcome:
    """Let a student's function draw on the Axes `ax` of a new figure: the outcome is what is then in it.

    What it draws by pyplot lands there, too: the Axes is the current one.
    """
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    try:
        outcome = call(function, {"ax": ax, **inputs})
        return outcome if outcome.raised else outcome_of(lambda: contents(ax), function)
    finally:
        pyplot.close(figure)


def contents(ax: "Axes") -> dict[str, Any]:
    """The parts of an Axes, by the names in `NEEDED` and `PARTS`.

    Lines, points, bars and images are dicts by label; without a label they are called "line 1" and so on. Names at
    ticks count where they were set, or are categories. A line without a line style is points, and so is one of a single
    place with a marker; points have no order.
    """
    is_points = [_is_points(line) for line in ax.lines]
    lines: list[tuple[Any, Any]] = [(line.get_label(), _places(line.get_xydata())) for line in ax.lines]
    kept = [line for line, points in zip(lines, is_points, strict=True) if not points]
    scattered: list[tuple[Any, Any]] = [
        (each.get_label(), _places(each.get_offsets())) for each in ax.collections if _is_scatter(each)
    ]
    points = [line for line, points in zip(lines, is_points, strict=True) if points] + scattered
    bars = [(each.get_label(), _bars(each)) for each in ax.containers if hasattr(each, "orientation")]
    images = [(each.get_label(), _tensor(each.get_array())) for each in ax.images]
    named = [label for label, _ in [*kept, *points, *bars] if _is_name(label)]
    legend = ax.get_legend()
    explained = {text.get_text() for text in legend.get_texts()} if legend else set()
    return {
        "title": bool(ax.get_title().strip()),
        "legend": len(named) < 2 or set(named) <= explained,
        "x_label": _text(ax.get_xlabel()),
        "y_label": _text(ax.get_ylabel()),
        "x_scale": ax.get_xscale(),
        "y_scale": ax.get_yscale(),
        "x_names": _tick_names(ax.xaxis),
        "y_names": _tick_names(ax.yaxis),
        "lines": _by_name("line", kept),
        "points": _by_name("points", [(label, _sorted(places)) for label, places in points]),
        "bars": _by_name("bars", bars),
        "images": _by_name("image", images),
    }


def _by_name(kind: str, found: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for label, data in found:
        name = _text(label) if _is_name(label) else f"{kind} {len(named) + 1}"
        named[name if name not in named else f"{name} ({len(named) + 1})"] = data
    return named


def _is_name(label: Any) -> bool:
    return bool(str(label)) and not str(label).startswith("_")  # so matplotlib calls what has no label


def _text(label: Any) -> str:
    return " ".join(str(label).lower().split())


def _tensor(values: Any) -> Tensor:
    """Any array of matplotlib's as float64; what is masked is NaN."""
    return torch.from_numpy(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan).copy())


def _places(xy: Any) -> dict[str, Tensor]:
    places = _tensor(xy).reshape(-1, 2)
    return {"x": places[:, 0].clone(), "y": places[:, 1].clone()}


def _sorted(places: dict[str, Tensor]) -> dict[str, Tensor]:
    order = torch.from_numpy(np.lexsort((places["y"].numpy(), places["x"].numpy())))
    return {name: values[order] for name, values in places.items()}


def _is_points(line: "Line2D") -> bool:
    drawn, marked = (str(style) not in ("None", "", " ") for style in (line.get_linestyle(), line.get_marker()))
    return not drawn or (marked and len(np.asarray(line.get_xdata())) == 1)


def _is_scatter(each: Any) -> bool:
    from matplotlib.collections import PathCollection

    return isinstance(each, PathCollection)


def _bars(container: Any) -> dict[str, Any]:
    """Where the middle of each bar is, from where and how far it reaches; upright or lying."""
    lying = container.orientation == "horizontal"
    boxes = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in container.patches]
    turned = [(y, x, height, width) for x, y, width, height in boxes] if lying else boxes
    across, start, width, length = _tensor(turned).reshape(-1, 4).T
    return {"lying": lying, "at": across + width / 2, "from": start.clone(), "length": length.clone()}


def _tick_names(axis: "Axis") -> list[str]:
    from matplotlib.category import StrCategoryFormatter
    from matplotlib.ticker import FixedFormatter

    fixed = isinstance(axis.get_major_formatter(), FixedFormatter | StrCategoryFormatter)
    return [_text(label.get_text()) for label in axis.get_ticklabels()] if fixed else []
