"""A class that is generated from the assignments: every kind of work is in it, and nbgrader gives it the same points.

nbgrader takes seconds for a submission, so that it sees some of one assignment here;
`python -m tests.benchmarks.grading --nbgrader 200` compares as many as are asked for, of all assignments.
"""

from collections import Counter

import pytest

from lmlib.course.gradebook.class_grading import Settings, grade_into
from lmlib.course.gradebook.store import Gradebook
from lmlib.course.isolation import probe
from tests.course import by_nbgrader
from tests.course.made_class import assignments, made_class
from tests.course.student_notebooks import NAME

FEW = 12


def untrusted(folder, jobs):
    strict = None not in (probe()[means] for means in ("user namespaces", "Landlock", "seccomp"))
    return Settings(jobs=jobs, secret=folder / "secret", sandbox=strict)


def points(database):
    return {
        row.student.id: {name: mark.points for name, mark in row.marks.items()} for row in Gradebook(database).rows()
    }


def test_a_class_has_every_assignment_and_every_kind_of_work():
    sources = assignments()
    made = made_class(sources, 40 * len(sources))
    assert {one.assignment for one in made} == {source.name for source in sources}
    kinds = Counter((one.assignment, one.kind) for one in made)
    assert all(kinds[source.name, "mistake"] >= 3 and kinds[source.name, "other"] >= 2 for source in sources)
    assert {kind for _, kind in kinds} == {"right", "mistake", "other", "raises", "empty", "ends Python", "no notebook"}
    assert {one.kind for one in made if not one.honest} == {"ends Python", "no notebook"}
    assert len({one.student for one in made}) == len(made)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_nbgrader_gives_the_honest_ones_the_same_points(tmp_path):
    (source,) = assignments([NAME])
    made = made_class([source], FEW, honest_only=True)
    for one in made:
        one.write(tmp_path / "submitted")
    grade_into(tmp_path / "submitted", tmp_path / "class.db", untrusted(tmp_path, 2))
    by_nbgrader.prepare(tmp_path, source)
    by_nbgrader.command(tmp_path, "autograde", source.stem, "--create")
    found = points(tmp_path / "class.db")
    assert found == by_nbgrader.points(tmp_path, source)
    assert len(found) == FEW
    full = {one.student for one in made if one.kind in ("right", "other")}
    assert {student for student, own in found.items() if sum(own.values()) == 20} == full


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_of_200_submissions_of_all_assignments_each_gets_what_its_kind_deserves(tmp_path):
    made = made_class(assignments(), 200)
    for one in made:
        one.write(tmp_path / "submitted")
    grade_into(tmp_path / "submitted", tmp_path / "class.db", untrusted(tmp_path, 2))
    rows = {row.student.id: row for row in Gradebook(tmp_path / "class.db").rows()}
    assert len(rows) == len(made) == 200
    for one in made:
        row = rows[one.student]
        assert row.assignment == one.assignment
        assert row.maximum > 0
        if one.kind in ("right", "other"):
            assert row.score == row.maximum, (one, row.remarks)
        elif one.kind == "empty":
            assert (row.score, row.status) == (0, "graded")
        elif one.kind == "no notebook":
            assert row.score == 0
            assert "not a notebook" in row.status
        else:
            assert row.score < row.maximum, one
