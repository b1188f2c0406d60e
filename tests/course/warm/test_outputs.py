"""Outputs put together: as nbclient does, and from a hostile process no more than nbformat's fields, up to a size."""

from lmlib.course.warm.outputs import Outputs


def stream(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def display(text: str, **more: object) -> dict:
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}, **more}


def test_an_update_changes_the_display_in_the_cell_where_it_stands():
    outputs = Outputs()
    first = outputs.begin()
    outputs.add(display("old", display_id="d", update=False))
    second = outputs.begin()
    outputs.add(display("new", display_id="d", update=True))
    assert first[0]["data"] == {"text/plain": "new"}
    assert second == []


def test_a_clearing_that_waits_keeps_the_outputs_until_the_next_comes():
    outputs = Outputs()
    cell = outputs.begin()
    outputs.add(stream("old"))
    outputs.add({"output_type": "clear_output", "wait": True})
    assert [output["text"] for output in cell] == ["old"]
    outputs.add(stream("new"))
    assert [output["text"] for output in cell] == ["new"]


def test_more_than_the_cap_is_left_out_and_said_once():
    outputs = Outputs(cap=100)
    cell = outputs.begin()
    for _ in range(1000):
        outputs.add(stream("x" * 10))
        outputs.add(display("y" * 10))
    assert sum(len(str(output)) for output in cell) < 1000
    assert sum("left out" in output.get("text", "") for output in cell) == 1
    following = outputs.begin()
    outputs.add(stream("z" * 500))
    assert following[0]["text"].startswith("z" * 50)
    assert len(following[0]["text"]) < 200


def test_what_is_no_output_is_left_out_and_strange_fields_are_not_taken():
    outputs = Outputs()
    cell = outputs.begin()
    for strange in (None, 5, [], {}, {"output_type": ["stream"]}, {"output_type": "pickle", "data": "x"}):
        outputs.add(strange)
    outputs.add({**stream("text"), "metadata": {"score": 5}, "name": {"a": 1}})
    outputs.add({"output_type": "execute_result", "data": "no dict", "execution_count": "one"})
    assert cell == [
        stream("text"),
        {"output_type": "execute_result", "data": {}, "metadata": {}, "execution_count": None},
    ]


def test_the_outputs_of_all_cells_together_are_capped():
    outputs, kept = Outputs(cap=100, total=250), []
    for _ in range(50):
        kept.append(outputs.begin())
        for _ in range(10):
            outputs.add({"output_type": "stream", "name": "stdout", "text": "x" * 40})
    assert sum(one["text"].count("x") for cell in kept for one in cell) <= 250
