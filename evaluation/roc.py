"""ROC curves, areas under them with their intervals, and thresholds read off them.

Everywhere, `labels` are (N,), bool or 0 and 1, true for abnormal; `scores` are (N,), finite, higher is more abnormal.
Other arrays raise a TypeError or ValueError. Cases with a score ≥ threshold are called abnormal.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import rankdata
from sklearn import metrics

from evaluation.checks import check_cases
from evaluation.undefined import undefined

_ONE_CLASS = "normal and abnormal cases are both needed"


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """Points of a ROC curve, thresholds falling; at each, cases with a score ≥ threshold are called abnormal."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True, kw_only=True)
class AucInterval:
    """An AUC and the ends of its confidence interval, all in [0, 1]."""

    auc: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """The shares of abnormal and of normal cases that a threshold calls rightly, both in [0, 1]."""

    threshold: float
    sensitivity: float
    specificity: float


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> RocCurve:
    """The curve from threshold infinity to the lowest score, without points that lie on a line between others.

    Raises:
        ValueError: when a class is missing: half of a curve is none.
    """
    abnormal = abnormal_cases(labels, scores)
    if _lacks_a_class(abnormal):
        raise ValueError(f"a ROC curve is undefined: {_ONE_CLASS}")
    false_positive, true_positive, thresholds = metrics.roc_curve(abnormal, scores)
    return RocCurve(false_positive_rate=false_positive, true_positive_rate=true_positive, thresholds=thresholds)


def auc_score(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that an abnormal case scores higher than a normal one, ties half.

    Scores that are all equal have 1/2.
    """
    abnormal = abnormal_cases(labels, scores)
    if _lacks_a_class(abnormal):
        return undefined("AUC", _ONE_CLASS)
    return float(metrics.roc_auc_score(abnormal, scores))


def delong_interval(labels: np.ndarray, scores: np.ndarray, *, level: float = 0.95) -> AucInterval:
    """The AUC with a normal confidence interval from DeLong's variance, cut off at 0 and 1.

    The placement of a case is the share of the other class against which it is ranked rightly, ties half. In each class
    placements average to the AUC; their variances s² give its variance: s²(abnormal) / abnormal cases + s²(normal) /
    normal cases.

    Cases must be independent, as scores of different patients are. Slices of one patient are not, and the interval
    would be far too narrow: bootstrap patients instead. Where scores separate the classes perfectly or are all equal,
    placements do not vary, and the interval is one point, which says nothing.

    Source: DeLong et al., "Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves: A
    Nonparametric Approach", Biometrics 1988; placements from mid-ranks, in O(N log N), as in Sun and Xu, "Fast
    Implementation of DeLong's Algorithm for Comparing the Areas Under Correlated Receiver Operating Characteristic
    Curves", IEEE Signal Processing Letters 2014.

    Args:
        labels: (N,) true for abnormal. With fewer than two cases of a class, the ends are NaN.
        scores: (N,) higher is more abnormal.
        level: probability that the interval covers the AUC.

    Raises:
        ValueError: unless the level lies between 0 and 1, both excluded.
    """
    abnormal = abnormal_cases(labels, scores)
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1, got {level}")
    count, normal_count = int(abnormal.sum()), int((~abnormal).sum())
    if min(count, normal_count) < 2:
        end = undefined("the DeLong interval", "two normal and two abnormal cases are needed")
        return AucInterval(auc=auc_score(labels, scores), low=end, high=end)
    # A case's rank among all, less its rank within its class, counts the cases of the other class below it.
    ranks = rankdata(scores)
    placements = (ranks[abnormal] - rankdata(scores[abnormal])) / normal_count
    normal_placements = 1 - (ranks[~abnormal] - rankdata(scores[~abnormal])) / count
    auc = float(placements.mean())
    variance = placements.var(ddof=1) / count + normal_placements.var(ddof=1) / normal_count
    reach = NormalDist().inv_cdf((1 + level) / 2) * float(np.sqrt(variance))
    return AucInterval(auc=auc, low=max(0.0, auc - reach), high=min(1.0, auc + reach))


def operating_point(labels: np.ndarray, scores: np.ndarray, threshold: float) -> OperatingPoint:
    """What calling scores ≥ `threshold` abnormal gets right.

    NaN for a class without cases, and throughout where the threshold is NaN.
    """
    abnormal = abnormal_cases(labels, scores)
    if np.isnan(threshold):
        missing = undefined("the operating point", "there is no threshold")
        return OperatingPoint(threshold=missing, sensitivity=missing, specificity=missing)
    # A plain float would be rounded to the precision of the scores before it is compared.
    called = scores >= np.float64(threshold)
    return OperatingPoint(
        threshold=float(threshold),
        sensitivity=_share(called[abnormal], "sensitivity", "no case is abnormal"),
        specificity=_share(~called[~abnormal], "specificity", "no case is normal"),
    )


def youden_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold of largest sensitivity + specificity − 1. Of equals, the highest.

    Infinity, which calls nothing abnormal, where no score separates better than chance, as when all are equal. It is
    not NaN: a model carries its threshold to reports, and there scores must compare with it.
    """
    abnormal = abnormal_cases(labels, scores)
    if _lacks_a_class(abnormal):
        return undefined("the Youden threshold", _ONE_CLASS)
    curve = roc_curve(abnormal, scores)
    count, normal_count = abnormal.sum(), (~abnormal).sum()
    # In whole cases: as differences of rates, equal points would differ in the last bit.
    hits, alarms = np.rint(curve.true_positive_rate * count), np.rint(curve.false_positive_rate * normal_count)
    return float(curve.thresholds[np.argmax(hits * normal_count - alarms * count)])


def operating_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The Youden threshold, moved down by `half_way_down`."""
    return half_way_down(youden_threshold(labels, scores), scores)


def half_way_down(threshold: float, scores: np.ndarray) -> float:
    """The threshold moved half-way to the next lower of `scores` (N,), so that the same of these reach it.

    A threshold that is a score calls new cases by the chance of that one; in the gap between two, no end is better.
    Infinity, NaN and what has no score below stay.
    """
    below = scores[np.isfinite(scores) & (scores < threshold)]
    if not len(below) or not np.isfinite(threshold):
        return threshold
    middle = (threshold + below.max()) / 2
    # Between neighboring floats there is no middle; rounded to the lower one, it would call that one abnormal, too.
    return float(middle) if middle > below.max() else threshold


def threshold_at_sensitivity(labels: np.ndarray, scores: np.ndarray, sensitivity: float) -> float:
    """The highest threshold with at least this sensitivity, in [0, 1]: a score, or infinity where 0 is enough.

    NaN where scores are all equal: it would call every case abnormal or none.

    Raises:
        ValueError: for a sensitivity outside [0, 1].
    """
    abnormal = abnormal_cases(labels, scores)
    _check_share("sensitivity", sensitivity)
    if reason := _why_no_choice(abnormal, scores):
        return undefined("the threshold at a sensitivity", reason)
    _, reached, thresholds = metrics.roc_curve(abnormal, scores, drop_intermediate=False)
    return float(thresholds[np.argmax(reached >= sensitivity)])


def threshold_at_false_positive_rate(labels: np.ndarray, scores: np.ndarray, rate: float) -> float:
    """The threshold of highest sensitivity with at most this share of false positives among normal cases, in [0, 1].

    A score or infinity. Of thresholds with the same sensitivity the highest: fewer false positives come free. NaN where
    scores are all equal: it would call every case abnormal or none.

    Raises:
        ValueError: for a rate outside [0, 1].
    """
    abnormal = abnormal_cases(labels, scores)
    _check_share("rate", rate)
    if reason := _why_no_choice(abnormal, scores):
        return undefined("the threshold at a false positive rate", reason)
    false_positive, reached, thresholds = metrics.roc_curve(abnormal, scores, drop_intermediate=False)
    allowed = false_positive <= rate
    return float(thresholds[allowed][np.argmax(reached[allowed])])


def abnormal_cases(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N,) bool, which cases `labels` call abnormal, once labels and scores are known to be what they must be.

    Raises:
        TypeError: when one is no array.
        ValueError: unless both are (N,), labels bool or 0 and 1, scores real and finite.
    """
    check_cases(labels=labels, scores=scores)
    if labels.dtype.kind not in "biuf" or not ((labels == 0) | (labels == 1)).all():
        raise ValueError("`labels` must be bool or 0 and 1")
    if scores.dtype.kind not in "biuf" or not np.isfinite(scores).all():
        raise ValueError("`scores` must be real and finite")
    return labels.astype(bool)


def _lacks_a_class(abnormal: np.ndarray) -> bool:
    return bool(abnormal.all() or not abnormal.any())


def _why_no_choice(abnormal: np.ndarray, scores: np.ndarray) -> str:
    """The reason why no threshold can be chosen; empty where one can."""
    if _lacks_a_class(abnormal):
        return _ONE_CLASS
    return "all scores are equal" if (scores == scores[0]).all() else ""


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"`{name}` must be in [0, 1], got {share}")


def _share(called_rightly: np.ndarray, metric: str, reason: str) -> float:
    return float(called_rightly.mean()) if len(called_rightly) else undefined(metric, reason)
