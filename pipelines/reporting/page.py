"""HTML from templates: self-contained, every value escaped."""

from __future__ import annotations

import math
from functools import cache
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Fill a template of this package; an unknown name in it is an error, not a blank.

    Bytes of file names that are no UTF-8 become character references.
    """
    page = _environment().get_template(template).render(version=version("fpgan"), **values)
    return page.encode(errors="xmlcharrefreplace").decode()


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
    environment.filters["threshold"] = format_threshold
    environment.filters["volume"] = format_volume
    return environment


def format_threshold(value: float) -> str:
    """A threshold with four digits, of maps of any size; in words where none is, or none was low enough."""
    return "–" if math.isnan(value) else "above all scores" if math.isinf(value) else f"{value:.4g}"


def format_number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def format_volume(volume_mm3: float) -> str:
    """Whole mm³ in groups of three digits, with spaces that do not break; three digits of a tiny one."""
    return f"{volume_mm3:,.0f}".replace(",", "\u202f") if volume_mm3 >= 10 else f"{volume_mm3:.3g}"
