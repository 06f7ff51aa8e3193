"""What a metric says when its input does not define it."""

from __future__ import annotations

import warnings


class UndefinedMetricWarning(UserWarning):
    """A metric is undefined for this input and was set to NaN."""


def undefined(metric: str, reason: str) -> float:
    """NaN, with a warning that names the metric and the reason."""
    warnings.warn(f"{metric} is undefined: {reason}", UndefinedMetricWarning, stacklevel=3)
    return float("nan")
