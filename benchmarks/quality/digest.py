"""Says whether two functions, and all of their module that they use, read the same."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any


def digest_of(*parts: object) -> str:
    """A short name for what has this text."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def source_of(function: Callable[..., Any] | None) -> str:
    """The source of a function or class at the top of a module, and of all it uses of that module."""
    if function is None:
        return ""
    if isinstance(function, partial):
        return f"{source_of(function.func)}{function.args}{sorted(function.keywords.items())}"
    return "\n".join(_sources(function, {}).values())


def _sources(function: Any, found: dict[str, str]) -> dict[str, str]:
    text = textwrap.dedent(inspect.getsource(function))
    found[function.__qualname__] = text
    module = sys.modules[function.__module__]
    for name in sorted({node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}):
        value = getattr(module, name, None)
        if name in found:
            continue
        if isinstance(value, (str, int, float, tuple, dict)):
            found[name] = f"{name} = {value!r}"
        elif inspect.getmodule(value) is module and (inspect.isfunction(value) or inspect.isclass(value)):
            _sources(value, found)
    return found
