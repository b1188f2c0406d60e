"""What grading one notebook gives, as plain data: it passes between the grader, the gradebook and other machines."""

from dataclasses import dataclass, field
from typing import Any

GRADED = "graded"  # the status of a notebook that could be graded; any other status is a sentence that says why not
TRUSTED = "none: trusted"  # in place of the sandbox, of a notebook that ran with the rights of the grader


@dataclass(frozen=True)
class QuestionScore:
    """The points of one question, the known mistakes that the answer is equal to, and what its student reads."""

    question: str
    points: float
    maximum: float
    mistakes: list[str] = field(default_factory=list)
    text: str = ""


@dataclass(frozen=True)
class Graded:
    """The result of one notebook. A notebook that could not be graded has no questions and a status that says why."""

    assignment: str
    status: str = GRADED
    questions: list[QuestionScore] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    sandbox: str = ""
    executed: dict[str, Any] = field(default_factory=dict)
