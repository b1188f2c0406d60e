"""What was drawn comes out as the numbers that were drawn, however it was drawn."""

import pytest
import torch
from matplotlib import pyplot

from lmlib.course.figures import NEEDED, PARTS, draw
from lmlib.course.plain_data import same
from lmlib.course.questions import FigureQuestion

HEIGHTS = [3.0, 1.0, 2.0]


def contents(function, **inputs):
    outcome = draw(function, inputs)
    assert outcome.raised is None, outcome.sentence
    assert set(outcome.value) == (NEEDED | PARTS).keys()
    return outcome.value


def listed(found):
    return {name: {key: value.tolist() for key, value in data.items()} for name, data in found.items()}


def test_lines_are_found_by_their_labels_in_any_order():
    def one(ax):
        ax.plot([0, 1, 2], HEIGHTS, label="Loss")
        ax.plot([1, 2], [5, 6])

    def other(ax):
        pyplot.plot([1, 2], [5, 6], color="red")
        pyplot.plot(torch.tensor(HEIGHTS), "--", label=" loss ")

    assert listed(contents(one)["lines"]) == {
        "loss": {"x": [0, 1, 2], "y": HEIGHTS},
        "line 2": {"x": [1, 2], "y": [5, 6]},
    }
    assert contents(other)["lines"].keys() == {"line 1", "loss"}
    assert same(contents(one)["lines"]["loss"], contents(other)["lines"]["loss"])


def test_points_have_no_order_and_may_be_drawn_as_a_scatter_or_as_a_line_without_a_line():
    def scatter(ax):
        ax.scatter([2, 1], [5, 6], label="best")

    def markers(ax):
        ax.plot([1, 2], [6, 5], "o", label="best")

    assert same(contents(scatter), contents(markers))
    assert listed(contents(scatter)["points"]) == {"best": {"x": [1, 2], "y": [6, 5]}}
    assert contents(scatter)["lines"] == {}


def test_a_line_of_one_place_with_a_marker_is_a_point():
    drawn = contents(lambda ax: ax.plot([1], [6], marker="o", label="best"))
    assert listed(drawn["points"]) == {"best": {"x": [1], "y": [6]}}
    assert contents(lambda ax: ax.plot([1], [6], label="best"))["lines"].keys() == {"best"}  # nothing is to be seen


def test_bars_have_their_place_their_length_and_the_names_below():
    upright = contents(lambda ax: ax.bar(["a", "B", "c"], HEIGHTS, bottom=1))
    assert (upright["x_names"], upright["y_names"]) == (["a", "b", "c"], [])
    bars = upright["bars"]["bars 1"]
    assert torch.allclose(bars["at"], torch.tensor([0.0, 1, 2]).double())
    assert (bars["length"].tolist(), bars["from"].tolist(), bars["lying"]) == (HEIGHTS, [1] * 3, False)
    lying = contents(lambda ax: ax.barh([4, 5, 6], HEIGHTS))["bars"]["bars 1"]
    assert torch.allclose(lying["at"], torch.tensor([4.0, 5, 6]).double())
    assert (lying["length"].tolist(), lying["lying"]) == (HEIGHTS, True)


def test_an_image_is_its_numbers_and_a_colour_bar_beside_it_does_not_count():
    def heat(ax):
        ax.figure.colorbar(ax.imshow([[1, 2], [3, 4]]))

    assert contents(heat)["images"]["image 1"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"title": ""}, "title"), ({"xlabel": "steps"}, "x_label"), ({"ylabel": ""}, "y_label"),
        ({"xscale": "log"}, "x_scale"), ({"yscale": "log"}, "y_scale"),
    ],
)  # fmt: skip
def test_each_part_is_looked_at_by_itself(change, part):
    def drawn(ax, more):
        ax.plot([1, 2], [3, 4], label="a")
        ax.plot([1, 2], [4, 5], label="b")
        ax.set(**({"title": "t", "xlabel": "Tokens", "ylabel": "loss"} | more))
        ax.legend()

    right, wrong = contents(drawn, more={}), contents(drawn, more=change)
    sentences = NEEDED | PARTS
    assert [name for name in sentences if not same(right[name], wrong[name])] == [part]
    question = FigureQuestion("drawn", atol=0.0, because="exact")
    assert question._findings(right, right, {}) == []
    assert [sentences[part] in finding for finding in question._findings(wrong, right, {})] == [True]


def test_two_names_need_a_legend_and_one_does_not():
    def without(ax, names):
        for name in names:
            ax.plot([1, 2], label=name)

    assert contents(without, names=["a"])["legend"]
    assert not contents(without, names=["a", "b"])["legend"]


def test_a_function_that_fails_leaves_no_figure_open():
    before = pyplot.get_fignums()
    assert draw(lambda ax: ax.plot([1], [1, 2]), {}).raised == "ValueError"
    assert pyplot.get_fignums() == before
