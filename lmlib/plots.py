"""Every figure of the book, in one style: readable in grey, small, with a text alternative.

Lines differ in dash and marker as well as in colour, maps go from white (0) to dark (1).
"""

import base64
import io
import warnings
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

MAX_BYTES = 60_000
DPI = 100
CHINESE_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei")
COLOURS = ("#08306b", "#d9541a", "#4f8f3a", "#7a5195", "#8c8c8c", "#00788c")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (2, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")


def chinese_font() -> str | None:
    """The first installed font that shows Chinese, or None."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in installed), None)


def _fonts() -> list[str]:
    """The fonts of every figure: a character is drawn in the first that has it."""
    return [name for name in ("DejaVu Sans", chinese_font()) if name]


def figure(*titles: str, width: float = 7.0, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A figure of one panel for each title, side by side; width and height in inches."""
    matplotlib.rcParams.update(
        {
            "font.family": _fonts(),
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,  # bars hide the grid
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "lines.markersize": 4,
        }
    )
    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(fig)
    axes = list(fig.subplots(1, len(titles), squeeze=False)[0])
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, loc="left")
    return fig, axes


def lines(
    ax: Axes,
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    x_label: str,
    y_label: str,
    markers: bool = True,
) -> None:
    """Draw one line for each named curve, each with its own colour, dash and marker; several get a legend."""
    for i, (name, y) in enumerate(curves.items()):
        (line,) = ax.plot(np.asarray(x), np.asarray(y), label=name, color=COLOURS[i % 6], linestyle=DASHES[i % 6])
        line.set_marker(MARKERS[i % 6] if markers else "")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    if len(curves) > 1:
        ax.legend()


def level(ax: Axes, y: float, text: str, *, below: bool = False) -> None:
    """A thin horizontal line at y: what a formula predicts. The text stands on it, or below it, at the right."""
    ax.axhline(y, color="#555555", linewidth=0.9, linestyle=(0, (1, 2)))
    ax.annotate(
        text,
        xy=(1, y),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -3 if below else 3),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        color="#333333",
        fontsize=8,
    )


def heat_map(
    ax: Axes,
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    numbers: bool = False,
    texts: Sequence[Sequence[str]] | None = None,
) -> None:
    """Draw a matrix of weights from 0 (white) to 1 (dark), rows downwards; values beyond have the end's colour.

    `numbers` writes each weight into its field, `texts` something else, such as the token that is predicted.
    """
    matrix = np.asarray(values, dtype=float)
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(f"a map of shape {matrix.shape} needs as many labels; got {len(rows)} and {len(columns)}")
    ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.grid(visible=False)
    upright = max(len(name) for name in columns) <= 2
    ax.set_xticks(range(len(columns)), columns, rotation=0 if upright else 90)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    if numbers:
        texts = [[f"{value:.2f}" for value in row] for row in matrix]
    for i, row in enumerate(texts or []):
        for j, text in enumerate(row):
            ax.text(j, i, text, ha="center", va="center", color="white" if matrix[i, j] > 0.65 else "black")


def head_map(ax: Axes, scores: ArrayLike) -> None:
    """A score from 0 to 1 for every head, (L, H), such as an induction score; layers downwards, counted from 1."""
    matrix = np.asarray(scores, dtype=float)
    layers, heads = ([str(i + 1) for i in range(n)] for n in matrix.shape)
    heat_map(ax, matrix, layers, heads, x_label="head", y_label="layer", numbers=True)


def effect_map(
    ax: Axes, effects: ArrayLike, rows: Sequence[str], columns: Sequence[str], *, x_label: str, y_label: str
) -> None:
    """Effects such as those of patches: dark is far from 0 on either side, and a number below 0 has its sign.

    Effects that round to 0 stay blank.
    """
    matrix = np.asarray(effects, dtype=float)
    texts = [["" if abs(value) < 0.05 else f"{value:.1f}".replace("-", "−") for value in row] for row in matrix]
    heat_map(ax, np.abs(matrix), rows, columns, x_label=x_label, y_label=y_label, texts=texts)


def band(ax: Axes, x: ArrayLike, runs: ArrayLike, name: str, *, number: int = 0) -> None:
    """The median of several runs, (n_runs, n_x), as a line, and from the lowest to the highest as a band.

    `number` counts the curves of a panel and gives each its colour, dash and marker.
    """
    matrix = np.asarray(runs, dtype=float)
    colour, dash, marker = COLOURS[number % 6], DASHES[number % 6], MARKERS[number % 6]
    ax.plot(np.asarray(x), np.median(matrix, axis=0), label=name, color=colour, linestyle=dash, marker=marker)
    ax.fill_between(np.asarray(x), matrix.min(0), matrix.max(0), color=colour, alpha=0.15, linewidth=0)


def probes_by_layer(ax: Axes, accuracy: ArrayLike, control: ArrayLike, majority: float) -> None:
    """Accuracy of a probe and of its control task at each layer, 0 the embeddings; between them the selectivity."""
    task, chance = np.asarray(accuracy, dtype=float), np.asarray(control, dtype=float)
    layers = np.arange(len(task))
    ax.fill_between(layers, chance, task, color="#e3e3e3", linewidth=0, label="selectivity")
    lines(ax, layers, {"task": task, "control task": chance}, x_label="layer", y_label="accuracy (0 to 1)")
    level(ax, majority, "most frequent label", below=True)
    ax.set_xticks(layers)


def interval_bars(
    ax: Axes, values: Mapping[str, tuple[float, float, float]], *, x_label: str, reference: float, meaning: str
) -> None:
    """A bar for each name, its value and the interval (value, low, high); from `reference` to the value.

    `meaning` says what the reference is. Names are read from the top down.
    """
    for i, (value, low, high) in enumerate(values.values()):
        if not low <= value <= high:
            raise ValueError(f"a bar needs low <= value <= high; got value {value}, low {low}, high {high}")
        ax.barh(i, value - reference, left=reference, height=0.6, color="#9db8d9", edgecolor=COLOURS[0])
        ax.errorbar(value, i, xerr=[[value - low], [high - value]], color="black", capsize=3, linewidth=1.2)
    ax.axvline(reference, color="#333333", linewidth=1)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlabel(f"{x_label}; line: {meaning}")
    ax.grid(visible=False, axis="y")


def order_spread(ax: Axes, accuracy: Mapping[str, ArrayLike], majority: float) -> None:
    """A point for the accuracy of each order of the demonstrations, a column a prompt; a bar marks the median."""
    for i, (name, values) in enumerate(accuracy.items()):
        points = np.sort(np.asarray(values, dtype=float))
        if points.size == 0:
            raise ValueError(f"{name!r} has no accuracies; give one for each order")
        aside = np.linspace(-0.2, 0.2, len(points)) if len(points) > 1 else np.zeros(1)  # so that equal ones are seen
        ax.plot(i + aside, points, color=COLOURS[i % 6], linestyle="", marker=MARKERS[i % 6], alpha=0.7)
        ax.plot([i - 0.3, i + 0.3], [np.median(points)] * 2, color="black", linewidth=2)
    ax.set_xticks(range(len(accuracy)), list(accuracy))
    ax.set_xlim(-0.6, len(accuracy) - 0.4)
    ax.set_xlabel("point: an order of the demonstrations; bar: the median")
    ax.set_ylabel("accuracy (0 to 1)")
    level(ax, majority, "most frequent label")


def before_and_after(
    ax: Axes, pairs: Mapping[str, tuple[float, float]], *, moments: tuple[str, str], y_label: str, majority: float
) -> None:
    """A line for each name from its value before to that after, such as accuracy without and with calibration."""
    for i, (name, values) in enumerate(pairs.items()):
        (line,) = ax.plot([0, 1], values, label=name, color=COLOURS[i % 6], linestyle=DASHES[i % 6])
        line.set_marker(MARKERS[i % 6])
    ax.set_xticks([0, 1], moments)
    ax.set_xlim(-0.3, 1.3)
    ax.set_ylabel(y_label)
    ax.legend()
    level(ax, majority, "most frequent label")


def exposure_curve(ax: Axes, exposures: Mapping[int, Sequence[float]], n_candidates: int) -> None:
    """Exposure in bits by how often a secret stood in the training text: a point a secret, a line through the means.

    Two levels: what chance gives, and what only the first of all candidates reaches.
    """
    times = sorted(exposures)
    for i, repeats in enumerate(times):
        points = np.asarray(exposures[repeats], dtype=float)
        ax.plot(np.full(len(points), i), points, color=COLOURS[4], linestyle="", marker="o", alpha=0.6)
    ax.plot(range(len(times)), [np.mean(exposures[repeats]) for repeats in times], color=COLOURS[0], marker="s")
    ax.set_xticks(range(len(times)), [str(repeats) for repeats in times])
    ax.set_xlabel("times in the training text")
    ax.set_ylabel("exposure (bits)")
    level(ax, 1 / np.log(2), "mean by chance")
    level(ax, np.log2(n_candidates), "first of all candidates")


def ranges(
    ax: Axes,
    rows: Sequence[str],
    series: Mapping[str, Sequence[Sequence[float]]],
    *,
    x_label: str,
    row_names: bool = True,
) -> None:
    """For each row and each named series some values: a marker at their mean, a line from the lowest to the highest.

    Rows go downwards; several series get a legend. `row_names` leaves out the names where a panel beside has them.
    """
    for i, (name, values) in enumerate(series.items()):
        if len(values) != len(rows):
            raise ValueError(f"{name} needs values for each of the {len(rows)} rows; got {len(values)}")
        y = np.arange(len(rows)) + 0.16 * (2 * i - len(series) + 1)
        means = [float(np.mean(of_row)) for of_row in values]
        ax.hlines(y, [min(of_row) for of_row in values], [max(of_row) for of_row in values], color=COLOURS[i % 6])
        ax.plot(means, y, label=name, color=COLOURS[i % 6], marker=MARKERS[i % 6], linestyle="")
    ax.set_yticks(range(len(rows)), rows if row_names else [""] * len(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(x_label)
    if len(series) > 1:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(series))  # below: rows fill the panel


def show(fig: Figure, alt: str) -> None:
    """Display a figure as PNG with its text alternative. Raises ValueError when it has none or is over 60 kB."""
    from IPython.display import display

    if not alt.strip():
        raise ValueError("a figure needs a text alternative: say in a sentence what a reader should see in it")
    png = as_png(fig)
    if len(png) > MAX_BYTES:
        raise ValueError(f"the figure has {len(png)} bytes, over {MAX_BYTES}; draw fewer things or a smaller figure")
    content = {"image/png": base64.b64encode(png).decode(), "text/plain": alt}
    display(content, metadata={"image/png": {"alt": alt}}, raw=True)


def as_png(fig: Figure) -> bytes:
    """The figure as a PNG file, without a date or a version in it.

    Where no installed font shows some of its characters, as Chinese ones, a line below the figure says so.
    """
    missing = unshown(fig)
    if missing:
        names = " ".join(f"U+{ord(char):04X}" for char in missing[:4]) + (" ..." if len(missing) > 4 else "")
        fig.supxlabel(
            f"{len(missing)} characters ({names}) stand as boxes:\n"
            f"no installed font shows them. Install {CHINESE_FONTS[0]}.",
            fontsize=7,
        )
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # the line says it to the reader
        fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def unshown(fig: Figure) -> list[str]:
    """The characters in the figure's texts that none of the fonts has, each once, in order of code."""
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _fonts()]
    texts = [text.get_text() for text in fig.findobj(Text)]
    characters = sorted({char for text in texts for char in text if char.isprintable()})
    return [char for char in characters if not any(font.get_char_index(ord(char)) for font in fonts)]


def training_curves(
    losses: ArrayLike,
    learning_rates: ArrayLike,
    gradient_norms: ArrayLike,
    evaluations: Mapping[str, tuple[Sequence[int], Sequence[float]]],
) -> Figure:
    """A run in three panels: loss and what was evaluated (nats), learning rate, norm of the gradients before clipping.

    Of long runs each point is the mean of a stretch of steps. `evaluations` are name → (steps done, values).
    """
    fig, (loss, rate, norm) = figure("Loss", "Learning rate", "Gradient norm", width=9.0, height=2.8)
    steps, smooth = stretches(losses)
    loss.plot(steps, smooth, color=COLOURS[0], label="training")
    for i, (name, (done, values)) in enumerate(evaluations.items(), 1):
        loss.plot(done, values, color=COLOURS[i % 6], linestyle=DASHES[i % 6], marker=MARKERS[i % 6], label=name)
    if evaluations:
        loss.legend()
    lines(rate, *_named("rate", learning_rates), x_label="step", y_label="learning rate", markers=False)
    lines(norm, *_named("norm", gradient_norms), x_label="step", y_label="norm of all gradients", markers=False)
    loss.set_xlabel("step")
    loss.set_ylabel("loss (nats)")
    norm.set_yscale("log")
    return fig


def stretches(values: ArrayLike, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """The middle step and the mean value of each of at most `n_points` stretches of about one length; steps from 1."""
    parts = np.array_split(np.asarray(values, dtype=float), min(n_points, len(np.asarray(values))))
    ends = np.cumsum([len(part) for part in parts])
    middles = ends - np.array([(len(part) - 1) / 2 for part in parts])
    return middles, np.array([part.mean() for part in parts])


def _named(name: str, values: ArrayLike) -> tuple[np.ndarray, dict[str, ArrayLike]]:
    steps, smooth = stretches(values)
    return steps, {name: smooth}
