"""For the instructor's notebook: cell magics that try each mistake and other right answer where it stands.

`%load_ext lmlib.course.authoring` and `%assignment NAME` come first. The answers themselves stay as they are: a
magic runs its cell in a copy of the notebook's names, and shows what a student would read.
"""

from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from lmlib.course.assignment import says
from lmlib.course.checks import Verdict, find, judge


@magics_class
class Authoring(Magics):
    """The magics of an instructor's notebook."""

    assignment = ""

    @line_magic("assignment")  # type: ignore[arg-type]  # the stub of IPython knows only @line_magic
    def set_assignment(self, line: str) -> None:
        """Say which assignment this notebook is."""
        self.assignment = line.strip()

    @cell_magic
    def mistake(self, line: str, cell: str) -> None:
        """Run a wrong answer: it must be caught, and named by the sentence in its comment."""
        verdict = self._verdict(line.strip(), cell)
        print(verdict.text())
        if list(verdict.mistakes.values()) != [says(cell)]:
            raise AssertionError(
                f"this mistake is not caught and named; after a change, run: lmbook release {self.assignment}"
            )

    @cell_magic
    def other(self, line: str, cell: str) -> None:
        """Run another right answer: it must get full points."""
        verdict = self._verdict(line.strip(), cell)
        print(verdict.headline if verdict.score == verdict.maximum else verdict.text())
        if verdict.score < verdict.maximum:
            raise AssertionError("this right answer does not get full points")

    @cell_magic
    def equivalent(self, line: str, cell: str) -> None:
        """Mutated lines of the reference that are still right; `lmbook release` tries them."""

    def _verdict(self, question: str, cell: str) -> Verdict:
        assert self.shell is not None
        released = find(self.assignment)
        namespace = dict(self.shell.user_ns)
        exec(compile(cell, f"<{question}>", "exec"), namespace)
        names = released.question(question)[0].answer_names
        return judge(released, question, {name: namespace[name] for name in names})


def load_ipython_extension(shell: Any) -> None:
    """Called by %load_ext."""
    shell.register_magics(Authoring)
