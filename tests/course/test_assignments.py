"""Every assignment of the book: its checks are proven, its release is made from it and gives nothing away."""

import ast
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbgrader.preprocessors import CheckCellMetadata, ClearSolutions, ComputeChecksums, LockCells

from lmlib.course import notebooks
from lmlib.course.asking import ask
from lmlib.course.assignment import all_assignments, clear_solution, read
from lmlib.course.checks import decode_outcome
from lmlib.course.plain_data import Outcome
from lmlib.course.proof import prove, table
from lmlib.course.questions import AskedQuestion
from lmlib.course.release import make
from lmlib.course.workbench import Workbench
from tests.course.student_notebooks import ROOT

ASSIGNMENTS = all_assignments(ROOT)
each_assignment = pytest.mark.parametrize("bench", ASSIGNMENTS, indirect=True, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def bench(request):
    return Workbench(read(request.param))


def folder_of(bench):
    return ROOT / "exercises" / bench.assignment.path.parent.name


@each_assignment
def test_mistakes_are_named_right_answers_accepted_and_mutants_fail(bench, capsys):
    proofs = prove(bench)
    with capsys.disabled():
        print(f"\n{table(proofs)}")
    assert [problem for row in proofs for problem in row.problems] == []
    assert all(row.mutants > 5 for row in proofs)


@each_assignment
def test_what_is_handed_out_gets_no_point_and_another_text_than_the_one_that_is_stored(bench):
    """So that nbval is red on it."""
    released = {cell["id"]: cell for cell in make(bench).notebook["cells"]}
    for name, question in bench.assignment.questions.items():
        verdict = bench.verdict(name, clear_solution(question.answer))
        stored = _shown(released[f"{name}-check"]["outputs"])[0]["text"].rstrip("\n")
        assert verdict.text() != stored == bench.verdict(name).text()
        assert verdict.score == 0


@each_assignment
def test_checks_hold_on_inputs_that_were_never_seen(bench, seed):
    """For another seed: other right answers pass against the reference, and each mistake fails somewhere."""
    for name, question in bench.assignment.questions.items():
        parts = bench.parts(name)
        if isinstance(parts, AskedQuestion):
            for kind in ("other", "mistake"):
                for variant in question.variants[kind]:
                    wrong = _failed_cases(bench, name, variant.source, seed)
                    assert bool(wrong) == (kind == "mistake"), f"{name}, {kind} {variant.name}, seed {seed}: {wrong}"


def _failed_cases(bench, name, source, seed):
    parts = bench.parts(name)
    reference, answer = (bench.answers(name, text)[parts.name] for text in ("", source))
    failed = []
    for case in parts.cases:
        expected, outcome = (ask(parts.way, each, parts.inputs(case, seed)) for each in (reference, answer))
        if parts.compare(outcome, expected, parts.inputs(case, seed)):
            failed.append(case.name)
    return failed


@each_assignment
def test_release_rebuilt_is_identical(bench, tmp_path):
    make(bench).write(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text("utf-8") == (folder_of(bench) / path.name).read_text("utf-8"), (
            f"{path.name} differs: run lmbook release {bench.assignment.name}"
        )


@pytest.mark.long
def test_release_rebuilt_by_a_processor_with_other_instructions_is_identical(tmp_path):
    """A processor adds and takes logarithms by the instructions that it has; torch can be told to use fewer."""
    program = (
        "import pathlib, sys; from lmlib.course import assignment, release, workbench\n"
        "for path in assignment.all_assignments(pathlib.Path(sys.argv[1])):\n"
        "    made = release.make(workbench.Workbench(assignment.read(path)))\n"
        "    made.write(pathlib.Path(sys.argv[2]) / path.parent.name)\n"
    )
    fewer = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", program, ROOT, tmp_path], check=True, cwd=ROOT, env={**os.environ, **fewer})
    made = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 3 * len(ASSIGNMENTS)
    for path in made:
        assert path.read_bytes() == (ROOT / "exercises" / path.relative_to(tmp_path)).read_bytes(), path.name


@each_assignment
def test_nbgrader_agrees_with_metadata_and_checksums(bench):
    """nbgrader's own preprocessors change nothing in the release."""
    released = make(bench).notebook
    nb = nbformat.from_dict(json.loads(json.dumps(released)))
    for cell in nb.cells:
        for key in ("checksum", "cell_type"):
            cell.metadata.nbgrader.pop(key)
        cell.metadata.pop("deletable")
        cell.metadata.pop("editable", None)
    for preprocessor in (LockCells(), ComputeChecksums(), CheckCellMetadata()):
        nb, _ = preprocessor.preprocess(nb, {})
    assert json.loads(json.dumps(nb)) == released
    nbformat.validate(nb)


@each_assignment
def test_answers_are_cleared_as_nbgrader_clears_them(bench):
    source = make(bench, with_answers=True).notebook
    cleared, _ = ClearSolutions().preprocess(nbformat.from_dict(json.loads(json.dumps(source))), {})
    for ours, theirs in zip(make(bench).notebook["cells"], cleared.cells, strict=True):
        stub = theirs.source.replace("\nraise NotImplementedError()", "")  # ours has none at the top level of a cell
        assert ours["source"] in (theirs.source, stub)


@each_assignment
def test_no_answer_of_any_kind_is_in_the_release(bench):
    """No line that only answers, mistakes, other answers or hints have is in a released file."""
    notebook = notebooks.read(folder_of(bench) / f"{bench.assignment.stem}.ipynb")
    handed_out = "\n".join(cell["source"] for cell in notebook["cells"])
    checks = (folder_of(bench) / f"{bench.assignment.stem}_checks.py").read_text("utf-8")
    public = {line.strip() for line in (handed_out + "\n" + checks).splitlines()}
    for question in bench.assignment.questions.values():
        stub = {line.strip() for line in clear_solution(question.answer).splitlines()}
        sources = [question.answer, *(v.source for kind in question.variants.values() for v in kind)]
        lines = {line.strip() for source in sources for line in source.splitlines()} - stub
        leaked = {line for line in lines & public if len(line) > 12 and not line.startswith("#")}
        assert leaked == set()
    data = (folder_of(bench) / f"{bench.assignment.stem}_checks.json").read_text("utf-8")
    assert not re.search(r"\b(def|return|import)\b .*[:(]", data)


@each_assignment
def test_parts_import_no_answer(bench):
    """The parts of a check know torch and how questions and steps are written, and nothing that could answer them."""
    tree = ast.parse(bench.assignment.parts)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"math", "torch", "numpy", "lmlib.course.questions", "lmlib.course.steps"}


@each_assignment
def test_check_cells_keep_what_a_right_answer_gives(bench):
    executed = json.loads(bench.assignment.path.with_suffix(".ipynb").read_text("utf-8"))
    outputs = {cell["id"]: cell.get("outputs") for cell in executed["cells"]}
    for cell in make(bench).notebook["cells"]:
        if cell["metadata"]["nbgrader"]["grade"]:
            assert cell["metadata"]["tags"] == ["nbval-check-output"]
            assert isinstance(cell["execution_count"], int)
            assert _shown(cell["outputs"]) == _shown(outputs[cell["id"]])


def _shown(outputs):
    """Streams and data, each text as one string, whatever number the cell had."""
    joined = [
        {k: "".join(v) if k == "text" else v for k, v in out.items() if k != "execution_count"} for out in outputs
    ]
    for out in joined:
        if "data" in out:
            out["data"] = {kind: "".join(text) for kind, text in out["data"].items()}
    return joined


def test_names_are_unique_for_nbgraders_flat_folder():
    assert len({path.stem for path in ASSIGNMENTS}) == len(ASSIGNMENTS) > 0


def test_expected_outcome_is_compared_within_the_stated_tolerance(seed):
    bench = Workbench(read(ROOT / "solutions/02_core_concepts/02_attention.py"))
    parts = bench.parts("heads")
    case = parts.cases[1]
    inputs = parts.inputs(case, seed)
    right = ask(parts.way, bench.answers("heads")["multi_head_attention"], inputs).value
    assert parts.compare(Outcome(right + parts.atol / 2), Outcome(right), inputs) == []
    assert parts.compare(Outcome(right * 1.001 + 1e-3), Outcome(right), inputs) != []


@each_assignment
def test_a_table_of_what_was_handed_out_solves_no_question(bench, seed):
    for name in bench.assignment.questions:
        parts, handed_out = bench.parts(name), bench.released.data["questions"][name]["expected"]
        if not isinstance(parts, AskedQuestion):
            continue
        answer, learnt = bench.answers(name)[parts.name], 0
        for case in parts.cases:
            drawn = [parts.inputs(case, other) for other in range(seed + 1, seed + 6)]
            known = decode_outcome(handed_out[case.name])
            learnt += case.points * all(not parts.compare(known, ask(parts.way, answer, x), x) for x in drawn)
        assert learnt < sum(case.points for case in parts.cases), name
