"""Attacks that lie in what is handed in: files, names, ids and texts, through the whole command to pages and tables.

Each row of `table` says what happens to a reader that takes no care, which `naive` of each attack shows.
"""

import contextlib
import csv
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmlib.course import grade, notebooks
from lmlib.course.gradebook import desk
from lmlib.course.gradebook.class_grading import Settings, grade_into
from lmlib.course.gradebook.store import Gradebook
from lmlib.course.spreadsheets import FORMULA
from tests.course.attacks.world import ALL_POINTS, HONEST, SECRET, World
from tests.course.student_notebooks import cell, hand_in, write

NAME = "01_x/t"
EVIL = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"  # a name of a file cannot hold a slash
CALC = "=cmd|' !A0"
HALF = "\ud800"  # half a character
LINE = 10_000


@dataclass(frozen=True)
class Attack:
    """`make` writes into a student's folder; `points`, and a part of what stands in the row; `naive`: it would work."""

    student: str
    tried: str
    make: Callable[[Path, World], object]
    points: float = 0.0
    says: str = ""
    naive: Callable[[Path, World], bool] | None = None


def notebook(changed: Callable[[dict], object]) -> Callable[[Path, World], object]:
    """Write an honest notebook, changed."""

    def make(folder: Path, world: World) -> None:
        nb = notebooks.read(hand_in(folder / "t.ipynb", HONEST, world.release))
        changed(nb)
        write(folder / "t.ipynb", nb)

    return make


def text(content: str) -> Callable[[Path, World], object]:
    return lambda folder, world: (folder / "t.ipynb").write_text(content, "utf-8")


def answer(source: str) -> Callable[[Path, World], object]:
    """An honest notebook with another first answer."""
    return notebook(lambda nb: cell(nb, "double-answer").update(source=source))


def own_cell(**parts: object) -> dict:
    return {"cell_type": "code", "id": "own", "metadata": {}, "source": "", "outputs": [], **parts}


def raises(error: type, work: Callable[[], object]) -> bool:
    try:
        work()
    except error:
        return True
    return False


def parsed(folder: Path) -> dict:
    return json.loads((folder / "t.ipynb").read_text())


def runs_planted_code(folder: Path, world: World) -> bool:
    """A kernel that is started in the folder of the submission imports from it."""
    subprocess.run([sys.executable, "-c", "import torch"], cwd=folder, check=True)
    planted = folder / "planted"
    done = planted.exists()
    planted.unlink(missing_ok=True)
    return done


def plant(folder: Path, world: World) -> None:
    hand_in(folder / "t.ipynb", {**HONEST, "choose-answer": "import sys, planted"}, world.release)
    code = f"open({str(folder / 'planted')!r}, 'w').close()\n"
    for name in ("torch.py", "sitecustomize.py", "usercustomize.py", "planted.py", "ipython_config.py",
                 "jupyter_server_config.py", "evil.pth", "lmlib/__init__.py", "kernel.json",
                 ".ipython/profile_default/startup/evil.py"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code if name.endswith(".py") else f"import os; {code}")


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def pickled(folder: Path, world: World) -> None:
    hand_in(folder / "t.ipynb", HONEST, world.release)
    for name in ("t.pkl", "t_checks.json", "t_checks.py", "expected.pt", "gradebook.db"):
        (folder / name).write_bytes(pickle.dumps(Bomb(folder / "exploded")))


def explodes(folder: Path, world: World) -> bool:
    pickle.loads((folder / "t.pkl").read_bytes())
    done = (folder / "exploded").is_dir()
    shutil.rmtree(folder / "exploded")
    return done


def large(folder: Path, world: World) -> None:
    with open(folder / "t.ipynb", "wb") as file:
        file.truncate(200 << 20)


def linked(folder: Path, world: World) -> None:
    (folder / "t.ipynb").symlink_to(world.classmate)


def moved(nb: dict) -> None:
    nb["cells"].reverse()


def removed(nb: dict) -> None:
    nb["cells"] = [c for c in nb["cells"] if c["id"] not in ("double-answer", "choose-check", "shelf-parts")]


def doubled(nb: dict) -> None:
    nb["cells"].append(cell(nb, "double-answer"))


def edited(nb: dict) -> None:
    cell(nb, "double-answer")["source"] = "def double(x): return x"
    cell(nb, "double-check")["source"] = "print('double: 3 of 3 points'); 3.0"
    cell(nb, "double-check")["metadata"]["nbgrader"]["points"] = 1000
    cell(nb, "choose-check")["metadata"]["nbgrader"]["solution"] = True


SHOWS = f"""
from IPython.display import HTML, display
print({EVIL!r}, {CALC!r})
display(HTML({EVIL!r}))
def double(x): return 2 * x
raise ValueError({EVIL!r})
"""
HALF_SHOWN = f"""
print({HALF!r})
def double(x): raise KeyError({HALF!r} + {EVIL!r})
raise ValueError({HALF!r})
"""
WHOLE = ALL_POINTS
IN_FOLDERS = [
    Attack("deep", "JSON that is deeper than any reader's stack", text("[" * 200_000), says="too deep",
           naive=lambda folder, world: raises(RecursionError, lambda: parsed(folder))),
    Attack("deep-metadata", "the same within a notebook",
           text('{"cells": [], "metadata": {"a": ' + "[" * 99_999 + "]" * 99_999 + "}}"), says="too deep",
           naive=lambda folder, world: raises(RecursionError, lambda: parsed(folder))),
    Attack("large", "a notebook of 200 MB", large, says="200 MB",
           naive=lambda folder, world: len((folder / "t.ipynb").read_bytes()) == 200 << 20),
    Attack("huge-number", "a number of 5,000 digits", text('{"cells": [], "a": ' + "9" * 5000 + "}"),
           says="not a notebook", naive=lambda folder, world: raises(ValueError, lambda: parsed(folder))),
    Attack("list-id", "a cell whose id is a list", notebook(lambda nb: nb["cells"].append(own_cell(id=[1]))),
           says="damaged", naive=lambda folder, world: raises(TypeError, lambda: {parsed(folder)["cells"][-1]["id"]})),
    Attack("list-source", "a source whose lines are no text",
           notebook(lambda nb: nb["cells"].append(own_cell(source=["x = 1\n", None]))), says="damaged",
           naive=lambda folder, world: raises(TypeError, lambda: "".join(parsed(folder)["cells"][-1]["source"]))),
    Attack("list-text", "an output whose lines are no text",
           notebook(lambda nb: nb["cells"].append(
               own_cell(outputs=[{"output_type": "stream", "name": "stdout", "text": ["a", None]}]))), WHOLE),
    Attack("path-id", "ids that are paths and formulas",
           notebook(lambda nb: nb["cells"].append(own_cell(id="../../x", source="1 / 0"))), WHOLE,
           "an added cell raised ZeroDivisionError"),
    Attack("list-name", "an assignment whose name is a list",
           notebook(lambda nb: nb["metadata"].update(lmbook={"assignment": [1]})), says="is no released assignment",
           naive=lambda folder, world: raises(TypeError, lambda: {parsed(folder)["metadata"]["lmbook"]["assignment"]})),
    Attack("list-metadata", "metadata that are a list", notebook(lambda nb: nb.update(metadata=[1])),
           says="not a notebook",
           naive=lambda folder, world: raises(AttributeError, lambda: parsed(folder)["metadata"].get("a"))),
    Attack("no-outputs", "outputs that are a number", notebook(lambda nb: nb["cells"][1].update(outputs=[5])),
           says="not a notebook",
           naive=lambda folder, world: raises(TypeError, lambda: parsed(folder)["cells"][1]["outputs"][0]["data"])),
    Attack("moved", "cells in another order", notebook(moved), WHOLE),
    Attack("removed", "an answer and a check removed", notebook(removed), WHOLE - 3, "the answer cell is missing"),
    Attack("doubled", "an answer twice", notebook(doubled), says="two cells have the grade_id"),
    Attack("edited", "checks and points edited", notebook(edited), WHOLE - 3,
           naive=lambda folder, world: cell(parsed(folder), "double-check")["metadata"]["nbgrader"]["points"] == 1000),
    Attack("half", "half a character in a source", answer(f"x = '{HALF}'\ndef double(x): return 2 * x"), WHOLE,
           naive=lambda folder, world: raises(
               UnicodeEncodeError, lambda: cell(parsed(folder), "double-answer")["source"].encode())),
    Attack("half-shown", "half a character in outputs and errors", answer(HALF_SHOWN), WHOLE - 3, "ValueError"),
    Attack(os.fsdecode(b"bytes-\xff\xfe"), "a name that is no text", answer(HONEST["double-answer"]), WHOLE,
           naive=lambda folder, world: raises(UnicodeEncodeError, lambda: folder.name.encode())),
    Attack(IMAGE, "a name that is HTML, HTML in outputs and errors", answer(SHOWS), WHOLE, "ValueError",
           naive=lambda folder, world: IMAGE in f"<td>{folder.name}</td>"),
    Attack(CALC, "a name that is a formula", answer(HONEST["double-answer"]), WHOLE,
           naive=lambda folder, world: naive_csv(folder.name).startswith(FORMULA)),
    Attack("planted", "code and settings beside the notebook", plant, WHOLE - 2, "No module named 'planted'",
           naive=runs_planted_code),
    Attack("pickled", "pickles wherever one might be read", pickled, WHOLE, naive=explodes),
    Attack("linked", "a link to a classmate's work", linked, says="a link instead of a file",
           naive=lambda folder, world: "x + x" in (folder / "t.ipynb").read_text()),
]  # fmt: skip


def naive_csv(name: str) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([name, 3.0])
    return out.getvalue()


@pytest.fixture(scope="module")
def class_folder(world):
    folder = world.folder / "class"
    for attack in IN_FOLDERS:
        (folder / attack.student).mkdir(parents=True)
        attack.make(folder / attack.student, world)
    for student in ("aaa-first", "zzz-last"):
        hand_in(folder / student / "t.ipynb", HONEST, world.release)
    return folder


@pytest.fixture(scope="module")
def graded(world, class_folder):
    """The gradebook after the whole command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world.base)
        path = world.folder / "class.db"
        grade_into(class_folder, path, Settings(timeout=20, jobs=1, secret=world.folder / "key"))
    return path


@pytest.fixture(scope="module")
def rows(graded):
    return {row.student.id: row for row in Gradebook(graded).rows()}


@pytest.mark.parametrize("attack", IN_FOLDERS, ids=lambda attack: attack.tried)
def test_what_is_handed_in_costs_only_its_own_points(attack, rows, class_folder, world):
    if attack.naive:
        assert attack.naive(class_folder / attack.student, world), "it is no attack"
    row = rows[attack.student.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")]
    assert row.raw == attack.points
    assert attack.says in "; ".join([row.status, *row.remarks])
    assert SECRET not in str(row)
    assert not (class_folder / attack.student / "planted").exists()
    assert not list(class_folder.glob("*/exploded"))


def test_everybody_else_is_graded(rows):
    assert len(rows) == len(IN_FOLDERS) + 2
    assert rows["aaa-first"].raw == rows["zzz-last"].raw == ALL_POINTS


def test_no_page_holds_html_of_a_student_and_no_table_a_formula(graded, tmp_path):
    emails = "".join(f'"{row.student.id}","{CALC}","{EVIL}","@x"\n' for row in Gradebook(graded).rows())
    (tmp_path / "roster.csv").write_text(f"student_id,last_name,first_name,email\n{emails}", "utf-8")
    desk.enrol(graded, tmp_path / "roster.csv")
    desk.feedback(graded, tmp_path / "pages", None)
    desk.write_report(graded, NAME, tmp_path / "pages" / "report.html")
    pages = list((tmp_path / "pages").rglob("*.html"))
    assert len(pages) == len(IN_FOLDERS) + 3
    for page in pages:
        assert page.resolve().is_relative_to(tmp_path / "pages")
        shown = page.read_text("utf-8")
        assert "<script" not in shown
        assert "<img src=x" not in shown
    assert sum("&lt;script&gt;" in page.read_text("utf-8") for page in pages) >= 3  # shown as the text that it is
    for kind in ("nbgrader", "moodle"):
        desk.export(graded, kind, tmp_path / f"{kind}.csv", None)
        cells = [c for row in csv.reader(io.StringIO((tmp_path / f"{kind}.csv").read_text("utf-8"))) for c in row]
        assert len(cells) > 2 * len(IN_FOLDERS)
        assert not [c for c in cells if c.startswith(FORMULA)]


def test_the_table_without_a_gradebook_survives_them_too(world, class_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(world.base)
    few = tmp_path / "few"
    for name in ("deep", "list-id", "list-metadata", "no-outputs", os.fsdecode(b"bytes-\xff\xfe"), CALC, "aaa-first"):
        shutil.copytree(class_folder / name, few / name)
    grade.grade_all(few, tmp_path / "grades.csv", 20, world.folder / "key")
    found = list(csv.DictReader(io.StringIO((tmp_path / "grades.csv").read_text("utf-8"))))
    assert sorted(float(row["score"]) for row in found) == [0, 0, 0, 0, *[ALL_POINTS] * 3]
    assert not [value for row in found for value in row.values() if value.startswith(FORMULA)]


def slip_out(place: Path, packed: Path) -> None:
    """What an unpacker does that takes the names in a zip for paths."""
    with zipfile.ZipFile(packed) as file:
        for info in file.infolist():
            target = Path(os.path.normpath(place / info.filename))
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # a name that is too long
                target.write_bytes(file.read(info)[:LINE])


def test_a_zip_cannot_lead_out_nor_fill_anything(world, tmp_path, monkeypatch):
    honest = world.classmate.read_bytes()
    packed, never = tmp_path / "zips" / "class.zip", (1980, 0, 0, 0, 0, 0)
    packed.parent.mkdir()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../escaped/slip.ipynb", honest)
        file.writestr("bomb/t.ipynb", b"0" * (100 << 20))
        file.writestr(f"long/{'t' * 300}.ipynb", honest)
        timeless = zipfile.ZipInfo("timeless/t.ipynb")
        timeless.date_time = never
        file.writestr(timeless, honest)
        file.writestr("honest/t.ipynb", honest)
    assert packed.stat().st_size < 1 << 20
    slip_out(tmp_path / "naive" / "inner", packed)
    assert (tmp_path / "escaped").exists(), "it is no attack"
    shutil.rmtree(tmp_path / "escaped")
    shutil.rmtree(tmp_path / "naive")
    before = set(tmp_path.rglob("*"))
    monkeypatch.chdir(world.base)
    grade_into(packed, tmp_path / "class.db", Settings(timeout=20, jobs=1, secret=world.folder / "key"))
    found = {row.student.id: row for row in Gradebook(tmp_path / "class.db").rows()}
    assert {name: row.raw for name, row in found.items()} == {
        "escaped": ALL_POINTS, "bomb": 0, "long": 0, "timeless": ALL_POINTS, "honest": ALL_POINTS,
    }  # fmt: skip
    assert "100 MB, more than the 20 MB that are read" in found["bomb"].status
    assert "a file name of" in found["long"].status
    new = {path.name for path in set(tmp_path.rglob("*")) - before}
    assert all(name.startswith("class.db") for name in new), new
