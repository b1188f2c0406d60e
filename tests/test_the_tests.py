"""The rules of tests/conftest.py, tried on small test files: skips must be listed, seeds replay, long tests wait."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests import __main__ as steps

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess:
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    long: long\n    gpu: gpu\n")
    (folder / "test_small.py").write_text("import pytest\n" + source)
    plugins = ["-p", "tests.conftest", "-p", "xdist", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-c", folder / "pytest.ini", *options, folder],
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("place", ["def test_a(): pytest.skip('{}')", "pytest.skip('{}', allow_module_level=True)"])
def test_a_skip_fails_the_run_unless_its_reason_is_listed(tmp_path, place):
    passing = "\ndef test_b(): pass\n"
    unlisted = run(tmp_path, place.format("no time today") + passing)
    assert unlisted.returncode != 0
    assert "SKIP NOT ON THE LIST" in unlisted.stdout
    assert "no time today" in unlisted.stdout
    listed = run(tmp_path, "def test_a(): pytest.skip('needs a CUDA device')" + passing)
    assert listed.returncode == 0
    assert "NOT ON THE LIST" not in listed.stdout


def test_an_unlisted_skip_fails_also_when_workers_share_the_tests(tmp_path):
    result = run(tmp_path, "def test_a(): pytest.skip('no time')\ndef test_b(): pass\n", "-n", "2")
    assert result.returncode != 0
    assert "SKIP NOT ON THE LIST" in result.stdout


def test_a_drawn_seed_is_printed_by_the_failure_and_replays(tmp_path):
    failing = run(tmp_path, "def test_a(seed): assert seed is None, f'drew {seed}'\n")
    drawn = re.search(r"replay with --seed (\d+)", failing.stdout)
    assert drawn
    again = run(tmp_path, "def test_a(seed): assert seed is None, f'drew {seed}'\n", "--seed", drawn[1])
    assert f"drew {drawn[1]}" in again.stdout


def test_long_tests_run_only_when_all_are_asked_for(tmp_path):
    source = "@pytest.mark.long\ndef test_a(): assert False\ndef test_b(): pass\n"
    assert run(tmp_path, source).returncode == 0
    assert run(tmp_path, source, "--all").returncode == 1


@pytest.mark.parametrize(
    ("tests", "counts"),
    [
        ("def test_a(): pass\ndef test_b(): assert False\ndef test_c(): pytest.skip('needs git')\n", (1, 1, 1)),
        ("def test_a(: pass\n", (0, 1, 0)),
    ],
)
def test_the_counts_of_a_step_are_those_of_its_tests(tmp_path, tests, counts):
    run(tmp_path, tests, f"--junit-xml={tmp_path / 'counts.xml'}")
    assert steps._counts(tmp_path / "counts.xml") == counts


def test_one_failing_step_fails_the_whole_and_the_others_still_run(monkeypatch, capsys):
    ran = []

    def read(name: str, command: list[str]) -> steps.Counts:
        ran.append(name)
        return steps.Counts(0, 1, 0) if name == "lint" else steps.Counts(1, 0, 0)

    monkeypatch.setattr(steps, "_read", read)
    monkeypatch.setattr(steps, "_compile_once", lambda: None)
    monkeypatch.setattr(steps, "_test", lambda command: steps.Counts(40, 0, 2))
    assert steps.main([]) == 1
    assert ran == ["lint", "format", "rooms", "types"]
    assert capsys.readouterr().out.splitlines()[-2:] == ["FAILED: lint", "43 passed, 1 failed, 2 skipped"]


def test_what_reads_the_sources_says_what_it_found_and_tests_that_never_began_have_failed(tmp_path, capfd):
    found = steps._read("lint", [sys.executable, "-c", "print('an unused import'); raise SystemExit(1)"])
    assert found == (0, 1, 0)
    assert "=== lint: FAILED\nan unused import" in capfd.readouterr().out
    assert steps._test([sys.executable, "-c", "raise SystemExit(4)"]) == (0, 1, 0)
    assert "=== tests: FAILED in 0 s" in capfd.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_forked_kernel_is_one_as_always_but_has_imported_torch(tmp_path):
    cells = (
        "import os, sys\nassert 'torch' in sys.modules and 'pytest' not in sys.modules",
        f"assert os.getcwd() == {str(tmp_path)!r} and os.environ['GIVEN'] == 'yes' and os.getsid(0) == os.getpid()",
        "import matplotlib.pyplot as plt\nassert 'inline' in plt.get_backend()\nplt.plot([1, 2]);",
        "assert 1 == 2, 'one is not two'",
        "while True: pass",
        "assert plt",
    )
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(nb, tmp_path / "small.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.kernels", "-p", "no:cacheprovider", "-v", "--color=no",
         "--nbval-lax", "--nbval-cell-timeout=10", "-c", os.devnull, f"--rootdir={tmp_path}", tmp_path],
        env=os.environ | {"PYTHONPATH": str(ROOT), "GIVEN": "yes"}, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    results = re.findall(r"Cell \d ([A-Z]+)", done.stdout)
    assert results == [*["PASSED"] * 3, *["FAILED"] * 2, "XPASS"], done.stdout  # XPASS: good, after a time-out
    assert "one is not two" in done.stdout
