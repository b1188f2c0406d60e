"""Figures: readable in grey, small, with a text alternative, the same bytes every time."""

import numpy as np
import pytest
from PIL import Image

from lmlib import plots


def two_lines():
    fig, (ax,) = plots.figure("Title")
    plots.lines(ax, [0, 1], {"a": [0, 1], "b": [1, 0]}, x_label="x (m)", y_label="y (s)")
    return fig, ax


def test_lines_differ_without_their_colour():
    _, ax = two_lines()
    styles = {(line.get_linestyle(), line.get_marker()) for line in ax.lines}
    assert len(styles) == 2


def test_a_figure_carries_title_labels_and_a_legend():
    _, ax = two_lines()
    assert ax.get_title(loc="left") == "Title"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (m)", "y (s)")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_the_same_figure_gives_the_same_bytes():
    assert plots.as_png(two_lines()[0]) == plots.as_png(two_lines()[0])


def test_a_figure_without_a_text_alternative_is_refused():
    with pytest.raises(ValueError, match="needs a text alternative"):
        plots.show(two_lines()[0], alt=" ")


def test_a_figure_over_60_kb_is_refused_with_its_size():
    fig, (ax,) = plots.figure("Noise", width=12, height=9)
    ax.imshow(np.random.default_rng(0).random((500, 500)))
    with pytest.raises(ValueError, match=r"has \d{6,} bytes, over 60000"):
        plots.show(fig, alt="noise")


def test_show_gives_the_png_with_its_text_alternative(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    plots.show(two_lines()[0], alt="two lines that cross")
    (data, options), *_ = shown
    assert data["text/plain"] == options["metadata"]["image/png"]["alt"] == "two lines that cross"


def test_a_map_is_dark_where_the_weight_is_large(tmp_path):
    fig, (ax,) = plots.figure("Map", width=2, height=2)
    plots.heat_map(ax, [[0.0, 1.0]], ["q"], ["k", "l"], x_label="key", y_label="query")
    (tmp_path / "map.png").write_bytes(plots.as_png(fig))
    image = np.asarray(Image.open(tmp_path / "map.png").convert("L"))
    box = ax.get_window_extent()
    row = image.shape[0] - int((box.y0 + box.y1) / 2)
    assert image[row, int(box.x0 + box.width / 4)] > 240
    assert image[row, int(box.x0 + 3 * box.width / 4)] < 80


def test_a_map_with_too_few_labels_is_refused():
    _, (ax,) = plots.figure("Map")
    with pytest.raises(ValueError, match=r"shape \(1, 2\) needs as many labels; got 1 and 1"):
        plots.heat_map(ax, [[0, 1]], ["q"], ["k"], x_label="key", y_label="query")


def test_a_range_reaches_from_the_lowest_to_the_highest_with_a_marker_at_the_mean():
    _, (ax,) = plots.figure("Scores")
    plots.ranges(ax, ["a", "b"], {"one": [[1, 2, 6], [0, 0]], "two": [[5], [4, 6]]}, x_label="score")
    assert [line.get_xdata().tolist() for line in ax.lines] == [[3, 0], [5, 5]]
    spans = [[segment[:, 0].tolist() for segment in group.get_segments()] for group in ax.collections]
    assert spans == [[[1, 6], [0, 0]], [[5, 5], [4, 6]]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert ax.yaxis_inverted()
    assert len({line.get_marker() for line in ax.lines}) == 2


def test_a_range_for_each_row_is_needed():
    _, (ax,) = plots.figure("Scores")
    with pytest.raises(ValueError, match="one needs values for each of the 2 rows; got 1"):
        plots.ranges(ax, ["a", "b"], {"one": [[1]]}, x_label="score")
