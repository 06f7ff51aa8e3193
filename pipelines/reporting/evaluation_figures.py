"""The figures of an evaluation: ROC, FROC, lesions by size, scores by domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from evaluation.froc import FROC_LIMITS, froc_curve
from evaluation.measurements import ABNORMAL, NORMAL, Measurements
from evaluation.roc import roc_curve
from pipelines.methods import EVALUATED
from pipelines.reporting import figures

_LARGEST_SHOWN = FROC_LIMITS[-1]
"""False positives per image where the FROC axis ends."""


def draw_curves(methods: Mapping[str, Measurements], metrics: Mapping[str, Any], titles: Mapping[str, str]) -> bytes:
    """A PNG of four panels. Lines differ by dashes and bars by hatching, so that they stay apart in gray.

    Args:
        methods: measurements by name, the evaluated one's being `EVALUATED`.
        metrics: what `metrics.json` holds.
        titles: names of the methods to draw, in order.
    """
    with figures.figure(2, 2, width=9, height=7.2) as (canvas, axes):
        _roc(axes[0, 0], methods, metrics, titles)
        _froc(axes[0, 1], methods, metrics, titles)
        _by_size(axes[1, 0], metrics["lesions"]["by_size"])
        _scores(axes[1, 1], methods[EVALUATED], metrics["slices"]["threshold"])
        return figures.to_png(canvas)


def _roc(
    axes: Axes, methods: Mapping[str, Measurements], metrics: Mapping[str, Any], titles: Mapping[str, str]
) -> None:
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
    for style, (name, title) in zip(figures.LINE_STYLES, titles.items(), strict=False):
        measured = methods[name]
        known = np.isin(measured.slice_label, (ABNORMAL, NORMAL))
        labels = measured.slice_label[known] == ABNORMAL
        if labels.any() and not labels.all():
            curve = roc_curve(labels, measured.slice_score[known])
            own = metrics if name == EVALUATED else metrics["baselines"][name]
            auc = own["slices"]["auc"]
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=f"{title}, AUC {auc:.3f}", **style)
    slices = metrics["slices"]
    _operating_point(axes, 1 - slices["specificity"], slices["sensitivity"])
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="Slices: healthy against diseased")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="lower right", fontsize=7.5)


def _froc(axes: Axes, methods: Mapping[str, Measurements], metrics: Mapping[str, Any], drawn: Iterable[str]) -> None:
    for style, name in zip(figures.LINE_STYLES, drawn, strict=False):
        measured = methods[name]
        images = int(measured.patient_images.sum())
        if len(measured.lesion_score) and images:
            curve = froc_curve(measured.lesion_score, measured.false_score, images)
            # With no threshold left to lower, the sensitivity stays where it is.
            rates = np.append(curve.false_positives_per_image, _LARGEST_SHOWN)
            axes.step(rates, np.append(curve.sensitivity, curve.sensitivity[-1]), where="post", **style)
    lesions = metrics["lesions"]
    _operating_point(axes, lesions["false_positives_per_image"], lesions["sensitivity"])
    axes.set_xscale("symlog", linthresh=1 / 8, linscale=0.5)
    ticks = (0, *FROC_LIMITS)
    axes.set_xticks(ticks, labels=[str(Fraction(tick)) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="false positives per image", ylabel="lesion sensitivity", title="Lesions in slices (same lines)")
    axes.set(xlim=(0, _LARGEST_SHOWN), ylim=(-0.02, 1.02))


def _operating_point(axes: Axes, x: float, y: float) -> None:
    if not np.isfinite([x, y]).all():
        return
    axes.plot(
        [x],
        [y],
        "o",
        markersize=7,
        markeredgecolor="black",
        color=figures.CANDIDATE_COLOR,
        label="threshold from validation",
        clip_on=False,
        zorder=5,
    )


def _by_size(axes: Axes, ranges: list[Mapping[str, Any]]) -> None:
    shown = [row for row in ranges if row["lesions"]]
    places = np.arange(len(shown))
    axes.bar(places, [np.nan_to_num(row["sensitivity"]) for row in shown], color=figures.MODEL_COLOR, width=0.7)
    for place, row in enumerate(shown):
        axes.text(place, 1.03, f"n {row['lesions']}", ha="center", va="bottom", fontsize=7.5)
    labels = [
        f"{row['from_px']}–{int(row['to_px']) - 1}" if np.isfinite(row["to_px"]) else f"{row['from_px']} +"
        for row in shown
    ]
    axes.set_xticks(places, labels=labels)
    axes.set(xlabel="lesion size in pixels", ylabel="share found", ylim=(0, 1.02))
    axes.set_title("Sensitivity by lesion size", pad=16)


def _scores(axes: Axes, measured: Measurements, threshold: float) -> None:
    bins = np.linspace(*_range(measured.slice_score), 31).tolist()
    for label, name, color, hatch in (
        (NORMAL, "healthy", figures.TRUTH_COLOR, ""),
        (ABNORMAL, "diseased", figures.CANDIDATE_COLOR, "////"),
    ):
        own = measured.slice_score[measured.slice_label == label]
        axes.hist(
            own,
            bins,
            histtype="stepfilled",
            facecolor=(*figures.rgb(color), 0.25),
            edgecolor=color,
            hatch=hatch,
            linewidth=1.4,
            label=f"{name}, n {len(own)}",
        )
    if np.isfinite(threshold):
        axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label="threshold from validation")
    axes.set(xlabel="slice score", ylabel="slices", title="Scores by domain")
    axes.legend(loc="upper right", fontsize=7.5)


def _range(scores: np.ndarray) -> tuple[float, float]:
    low, high = min(0.0, float(scores.min(initial=0))), float(scores.max(initial=0))
    return (low, high) if high > low else (low, low + 1)
