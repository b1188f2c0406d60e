"""The warm engine gives the outputs that a kernel gives: on one notebook of hard cases, and on the book's own."""

import importlib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import papermill
import pytest
from nbclient.exceptions import CellTimeoutError

from lmlib.course import batch, machine, notebooks
from lmlib.course.batch import Settings
from lmlib.course.execution import Watch, execute
from lmlib.course.warm.client import SOCKET_VARIABLE, WarmServer
from lmlib.course.warm.engine import WarmEngine
from tests.course.conftest import ROOT, write_text_notebook

NOTEBOOKS = [
    ROOT / "solutions" / "02_core_concepts" / "02_attention.py",
    *(pytest.param(path, marks=pytest.mark.long) for path in sorted((ROOT / "chapters").glob("*/*.py"))),
]  # each is executed twice
HARD = (
    "import os\nos.system('echo by a shell')",
    "import sys\nprint('out'); print('err', file=sys.stderr); print('out again')",
    "import os\nos.write(1, b'descriptor\\n'); None",
    "!echo from a shell; false\n_exit_code",
    "%%bash\necho to stdout",
    "%cd -q .\n%precision 3\n3.14159265",
    "import asyncio\nawait asyncio.sleep(0.001)\nasyncio.get_running_loop().is_running()",
    "from IPython.display import HTML, Markdown, clear_output, display, update_display\n"
    "handle = display(HTML('<b>first</b>'), display_id='one'); display({'text/plain': 'raw'}, raw=True)",
    "update_display(Markdown('second'), display_id='one')\nhandle.update(HTML('third'))",
    "print('goes'); clear_output(); print('stays'); clear_output(wait=True); display('last')",
    "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(figsize=(2, 1)); ax.plot([1, 3, 2]);",
    "plt.figure(figsize=(1, 1)); plt.plot([1, 2]); plt.show(); print('after')",
    "1; 2",
    "3;",
    "_ , _i, Out[15] if 15 in Out else None",
    "print?",
    "import warnings\nwarnings.warn('careful')",
    "import torch\ntorch.ones(2, 2)",
    "class Two:\n    def _repr_html_(self): return '<i>two</i>'\n    def __repr__(self): return 'two'\nTwo()",
    "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n', format='png')",
    "__name__, __doc__, sys.argv[0] is not None",
)
FAILING = (
    "input('name? ')",
    "import getpass; getpass.getpass()",
    "def f(x):\n    return 1 / x\n\ndef g():\n    return f(0)\n\ng()",
    "this is no python",
    "raise KeyError('key')",
    "%no_such_magic",
    "import sys; sys.exit(3)",
    "from nowhere import nothing",
    "assert 1 == 2, 'no'",
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('again') from error",
    "class Odd:\n    def __repr__(self): raise RuntimeError('no repr')\nOdd()",
)


@pytest.fixture(scope="module")
def server():
    with WarmServer(os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}) as server:
        yield server.address


def both(path: Path, server: str, parameters: dict[str, Any]) -> list[list[dict]]:
    """The executed cells by a kernel, and by the warm engine."""
    made = []
    for address in (None, server):
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("PYTEST_CURRENT_TEST")  # where it is set, ipykernel leaves descriptors alone
            done = execute(notebooks.read(path), path.parent, parameters, 1, Watch(timeout=600), address)
        assert done.failure is None, done.failure
        made.append(done.notebook["cells"])
    return made


def canonical(cell: dict[str, Any], pictures: bool = True) -> str:
    """The outputs and the count of a cell, without what differs between two processes."""
    streams = {"stdout": "", "stderr": ""}  # a kernel sends each when it likes, so only their texts compare
    for output in cell.get("outputs", []):
        if output["output_type"] == "stream":
            streams[output["name"]] += output["text"]
    outputs = [streams, *(output for output in cell.get("outputs", []) if output["output_type"] != "stream")]
    text = json.dumps([outputs, cell.get("execution_count")], sort_keys=True)
    if not pictures:  # before the search for paths, which takes long in them
        text = re.sub(r'"image/png": "[^"]*"', '"image/png": "..."', text)
    text = re.sub(r"ipykernel_\d+/\d+\.py", "ipykernel_N/N.py", text)
    text = re.sub(r'"model_id": "[0-9a-f]+"', '"model_id": "M"', text)
    return re.sub(r"[^\"\s]*/(lmlib/course/warm/shell|ipykernel/kernelbase)\.py.*", "", text)


def test_hard_cells_give_what_a_kernel_gives(server, tmp_path):
    path = write_text_notebook(tmp_path / "hard.py", *HARD)
    by_kernel, warm = both(path, server, {"seed": 7})
    differing = [(k["source"], canonical(k), canonical(w)) for k, w in zip(by_kernel, warm, strict=True)]
    assert "\n".join(f"{row[0]}\n  {row[1]}\n  {row[2]}" for row in differing if row[1] != row[2]) == ""


def test_failing_cells_give_a_kernels_traceback(server, tmp_path):
    text = "".join(f'# %% name="c{i}" tags=["raises-exception"]\n{cell}\n\n' for i, cell in enumerate(FAILING))
    (tmp_path / "failing.py").write_text(text, "utf-8")
    by_kernel, warm = both(tmp_path / "failing.py", server, {})
    differing = [(k["source"], canonical(k), canonical(w)) for k, w in zip(by_kernel, warm, strict=True)]
    assert "\n".join(f"{row[0]}\n  {row[1]}\n  {row[2]}" for row in differing if row[1] != row[2]) == ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_books_notebooks_give_what_a_kernel_gives(server, path):
    """But for pictures: a plot of measured seconds is another one each time. Hard cells compare them bit for bit."""
    by_kernel, warm = both(path, server, {})
    for k, w in zip(by_kernel, warm, strict=True):
        assert canonical(k, pictures=False) == canonical(w, pictures=False), k["id"]


def test_a_cell_that_never_ends_and_a_process_that_dies_are_said(server, tmp_path):
    path = write_text_notebook(tmp_path / "nb.py", "import os; os._exit(3)")
    done = execute(notebooks.read(path), tmp_path, {}, 1, None, server)
    assert done.failure.kind == "died"
    path = write_text_notebook(tmp_path / "nb.py", "print('before')", "while True: pass")
    done = execute(notebooks.read(path), tmp_path, {}, 1, Watch(timeout=10), server)
    assert (done.failure.kind, done.failure.cell) == ("timeout", "c2")


def test_what_is_printed_stands_in_the_order_of_printing(server, tmp_path):
    cell = "import os, sys\nprint('a'); os.system('echo b'); os.write(1, b'c\\n'); print('d', flush=True)"
    path = write_text_notebook(tmp_path / "nb.py", cell)
    done = execute(notebooks.read(path), tmp_path, {}, 1, None, server)
    assert [output.get("text") for output in done.notebook["cells"][1]["outputs"][:1]] == ["a\nb\nc\nd\n"]


def test_papermill_finds_the_engine_by_its_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["papermill.engine"]["warm"].partition(":")
    assert issubclass(getattr(importlib.import_module(module), name), papermill.engines.Engine)


def test_a_cells_own_time_out_is_papermills(server, tmp_path, monkeypatch):
    monkeypatch.setenv(SOCKET_VARIABLE, server)
    papermill.engines.papermill_engines.register("warm", WarmEngine)
    (tmp_path / "nb.ipynb").write_text(
        json.dumps(notebooks.read(write_text_notebook(tmp_path / "nb.py", "while 1: 0")))
    )
    with pytest.raises(CellTimeoutError):
        papermill.execute_notebook(
            str(tmp_path / "nb.ipynb"), None, engine_name="warm", execution_timeout=1, progress_bar=False
        )


def test_a_server_that_has_gone_is_said(tmp_path):
    path = write_text_notebook(tmp_path / "nb.py", "1")
    done = execute(notebooks.read(path), tmp_path, {}, 1, None, str(tmp_path / "socket"))
    assert done.failure.kind == "died"
    assert "the server of notebook processes has ended" in done.failure.message


def test_a_batch_runs_in_processes_of_one_server(book):
    cell = "import torch\nprint(seed, torch.get_num_threads())"
    for name in ("01_a", "02_b"):
        write_text_notebook(book / "chapters" / f"{name}.py", cell)
    results = batch.run([], Settings(book / "out", given={"seed": 4}, jobs=2, engine="warm"))
    assert [result.status for result in results] == ["passed", "passed"]
    executed = notebooks.read(book / "out" / "notebooks" / "chapters" / "01_a.ipynb")
    assert executed["cells"][-1]["outputs"][0]["text"] == f"4 {machine.jobs_and_threads(2, 2)[1]}\n"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("print('x' * (17 << 20), end='')", "x" * (17 << 20)),
        ("import os, time\nfor byte in '中文'.encode():\n    os.write(1, bytes([byte])); time.sleep(0.2)", "中文"),
    ],
    ids=["17 MiB", "bytes"],
)
def test_large_outputs_and_characters_in_pieces_come_out_whole(server, tmp_path, cell, text):
    path = write_text_notebook(tmp_path / "nb.py", cell)
    done = execute(notebooks.read(path), tmp_path, {}, 1, None, server)
    assert done.failure is None, done.failure
    assert "".join(output["text"] for output in done.notebook["cells"][-1]["outputs"]) == text
