"""HTML from templates: self-contained, every value escaped."""

from __future__ import annotations

import math
from functools import cache
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Fill a template of this package; an unknown name in it is an error, not a blank."""
    return _environment().get_template(template).render(version=version("fpgan"), **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    return environment


def format_number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
