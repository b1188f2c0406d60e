"""The picture of the README, taken out of the notebook that draws it: `python -m tests.readme_picture`."""

import base64
from pathlib import Path

from lmlib.course import notebooks

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK, CELL = ROOT / "chapters" / "02_core_concepts" / "02_attention.ipynb", "encoder-maps"


def picture() -> bytes:
    """The PNG that the cell shows in the executed notebook."""
    cell = next(cell for cell in notebooks.read(NOTEBOOK)["cells"] if cell["id"] == CELL)
    return next(base64.b64decode(out["data"]["image/png"]) for out in cell["outputs"] if "image/png" in out["data"])


if __name__ == "__main__":
    (ROOT / "README.png").write_bytes(picture())
