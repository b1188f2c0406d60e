"""HTML pages from the course's templates: one file each, no scripts, and every text in it is escaped."""

from typing import Any


def render(name: str, **content: Any) -> str:
    """A template of `lmlib/course/templates`, filled in. Raises jinja2.UndefinedError when something is missing."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lmlib.course"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**content)
