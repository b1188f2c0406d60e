"""`python -m tests.learning NAME`: train, and print one table. `python -m tests.learning` lists the names.

A table is a module in this folder with `run(arguments)`, and its first line says what it shows. What was measured is
written down by date in RESULTS.md, one section a module. No test asserts a time.
"""

import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The tables: modules of this folder that are no tests."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("_", "test_")))


def main(arguments: list[str]) -> int:
    """Run the table that is named first, with the other arguments; without one, list them all."""
    if not arguments or arguments[0] not in names():
        if arguments:
            print(f"there is no table {arguments[0]!r}", file=sys.stderr)
        for name in names():
            text = (importlib.import_module(f"tests.learning.{name}").__doc__ or "").partition("\n")[0]
            print(f"  {name:<16} {text}")
        return 2 if arguments else 0
    importlib.import_module(f"tests.learning.{arguments[0]}").run(arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
