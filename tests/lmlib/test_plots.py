"""Figures: readable in grey, small, with a text alternative, the same bytes every time, with a font or without."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
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


def test_a_map_writes_texts_into_its_fields_and_white_on_dark():
    _, (ax,) = plots.figure("Lens")
    plots.heat_map(ax, [[0.1, 0.9]], ["layer 1"], ["a", "b"], x_label="token", y_label="after", texts=[["x", "y"]])
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [("x", "black"), ("y", "white")]


def test_effects_are_dark_on_either_side_of_zero_and_signed():
    _, (ax,) = plots.figure("Effects")
    plots.effect_map(ax, [[-0.8, 0.01, 0.8]], ["1"], ["a", "b", "c"], x_label="position", y_label="layer")
    assert [text.get_text() for text in ax.texts] == ["−0.8", "", "0.8"]
    assert ax.images[0].get_array().tolist() == [[0.8, 0.01, 0.8]]


def test_a_head_map_counts_layers_downwards_from_one():
    _, (ax,) = plots.figure("Induction")
    plots.head_map(ax, [[0.0, 0.25, 1.0], [0.5, 0.5, 0.5]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3"]
    assert [text.get_text() for text in ax.texts][:3] == ["0.00", "0.25", "1.00"]
    low, high = ax.get_ylim()
    assert low > high  # downwards


def test_a_band_is_the_median_between_the_lowest_and_the_highest_run():
    _, (ax,) = plots.figure("Runs")
    plots.band(ax, [0, 1], [[0, 5], [1, 4], [9, 0]], "measured", number=1)
    (line,) = ax.lines
    assert line.get_ydata().tolist() == [1, 4]
    (area,) = ax.collections
    corners = {tuple(point) for point in area.get_paths()[0].vertices.tolist()}
    assert {(0, 0), (0, 9), (1, 0), (1, 5)} <= corners


def test_selectivity_is_the_area_between_the_probe_and_its_control():
    _, (ax,) = plots.figure("Probe")
    plots.probes_by_layer(ax, [0.8, 0.9], [0.7, 0.5], majority=0.6)
    corners = {tuple(point) for point in ax.collections[0].get_paths()[0].vertices.tolist()}
    assert {(0, 0.8), (0, 0.7), (1, 0.9), (1, 0.5)} <= corners
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["selectivity", "task", "control task"]
    assert ax.texts[0].get_text() == "most frequent label"


def test_bars_start_at_the_reference_and_are_read_from_the_top():
    _, (ax,) = plots.figure("Pairs")
    bars = {"all": (0.6, 0.55, 0.65), "age": (0.4, 0.3, 0.5)}
    plots.interval_bars(ax, bars, x_label="share", reference=0.5, meaning="no preference")
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert spans == [pytest.approx((0.5, 0.6)), pytest.approx((0.5, 0.4))]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", "age"]
    assert ax.get_ylim() == (1.5, -0.5)
    assert ax.get_xlabel() == "share; line: no preference"
    with pytest.raises(ValueError, match=r"low <= value <= high; got value 0.2, low 0.3"):
        plots.interval_bars(ax, {"x": (0.2, 0.3, 0.4)}, x_label="share", reference=0.5, meaning="none")


NOTE = r"3 characters \(U\+529B U\+610F U\+6CE8\) stand as boxes"


def chinese_figure():
    fig, _ = plots.figure("注意力 · Attention", width=4, height=2)
    return fig


def dark_share_of_title(fig):
    """How much of the first character's cell is dark."""
    image = np.asarray(Image.open(io.BytesIO(plots.as_png(fig))).convert("L"))
    box = fig.axes[0]._left_title.get_window_extent()
    top, left = image.shape[0] - round(box.y1), round(box.x0)
    return float((image[top : top + round(box.height), left : left + 9] < 128).mean())


@pytest.fixture
def no_chinese_font(monkeypatch):
    others = [font for font in font_manager.fontManager.ttflist if font.name not in plots.CHINESE_FONTS]
    find = font_manager.fontManager._findfont_cached
    find.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(font_manager.fontManager, "ttflist", others)
        yield
    find.cache_clear()


def block_font(path: Path) -> Path:
    """A font of the name that is looked for, in which each of three Chinese characters is a black square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(char): "square" for char in "注意力"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": plots.CHINESE_FONTS[0], "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def test_without_a_chinese_font_a_line_below_the_figure_says_so(no_chinese_font, recwarn):
    assert plots.chinese_font() is None
    fig = chinese_figure()
    assert plots.unshown(fig) == ["力", "意", "注"]
    plots.as_png(fig)
    assert not recwarn
    assert re.match(NOTE, fig.get_supxlabel())
    assert "Install Noto Sans CJK SC" in fig.get_supxlabel()


def test_with_a_chinese_font_the_characters_are_drawn_in_it(no_chinese_font, tmp_path, recwarn):
    before = dark_share_of_title(chinese_figure())
    font_manager.fontManager.addfont(block_font(tmp_path / "blocks.ttf"))
    assert plots.chinese_font() == "Noto Sans CJK SC"
    fig = chinese_figure()
    assert plots.unshown(fig) == []
    assert dark_share_of_title(fig) > 0.6 > before  # a square, and not the empty box of a missing character
    assert fig.get_supxlabel() == ""
    assert not recwarn


def test_a_figure_in_latin_letters_has_no_note(no_chinese_font):
    fig, _ = two_lines()
    plots.as_png(fig)
    assert fig.get_supxlabel() == ""


def test_every_order_is_a_point_and_the_median_a_bar():
    _, (ax,) = plots.figure("Orders")
    plots.order_spread(ax, {"as it is": [0.9, 0.5, 0.6], "calibrated": [0.8, 0.8, 0.8]}, majority=0.5)
    first, bar, second, _, _ = ax.lines
    assert sorted(first.get_ydata()) == [0.5, 0.6, 0.9]
    assert list(bar.get_ydata()) == [0.6, 0.6]
    assert len(set(second.get_xdata())) == 3  # equal ones stand side by side
    assert first.get_marker() != second.get_marker()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["as it is", "calibrated"]


def test_a_prompt_without_accuracies_is_refused():
    _, (ax,) = plots.figure("Orders")
    with pytest.raises(ValueError, match="'none' has no accuracies"):
        plots.order_spread(ax, {"none": []}, majority=0.5)


def test_each_pair_is_a_line_from_before_to_after():
    _, (ax,) = plots.figure("Calibration")
    pairs = {"zero-shot": (0.6, 0.8), "four": (0.7, 0.75)}
    plots.before_and_after(ax, pairs, moments=("ln P", "calibrated"), y_label="accuracy", majority=0.5)
    assert [tuple(line.get_ydata()) for line in ax.lines[:2]] == [(0.6, 0.8), (0.7, 0.75)]
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines[:2]}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(pairs)


def test_exposure_rises_along_the_means_between_chance_and_the_first_rank():
    _, (ax,) = plots.figure("Exposure")
    plots.exposure_curve(ax, {4: [9.0, 11.0], 0: [1.0, 2.0, 0.0]}, n_candidates=1024)
    means = next(line for line in ax.lines if line.get_marker() == "s")
    assert list(means.get_ydata()) == [1.0, 10.0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "4"]
    levels = [line.get_ydata()[0] for line in ax.lines[-2:]]
    assert levels == pytest.approx([1.4427, 10], abs=1e-4)


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
