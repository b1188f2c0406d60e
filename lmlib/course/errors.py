"""The errors of the course: one sentence for a person, and the exit code of the command."""


class CourseError(Exception):
    """Something a person can put right: what was given, what was expected, what to do.

    `exit_code`: 2 for wrong use (a bad argument, a missing file); 1 for work that failed.
    """

    exit_code = 2


class InterruptedWorkError(CourseError):
    """The person stopped the command; what is finished is kept."""

    exit_code = 130


class WorkFailedError(CourseError):
    """The command was used rightly, and what it should do failed."""

    exit_code = 1
