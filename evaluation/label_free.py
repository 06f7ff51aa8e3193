"""How good is a score where nobody has said which cases are abnormal."""

from __future__ import annotations

import numpy as np

from evaluation.roc import auc_score
from evaluation.undefined import undefined


def auc_healthy_against_mixed(
    healthy_scores: np.ndarray, mixed_scores: np.ndarray, *, healthy_share: float = 0.0
) -> float:
    """AUCp: the AUC of cases known to be healthy against unannotated ones, all of which are counted as abnormal.

    A share π of the unannotated cases is healthy after all and wins, on average, half of its pairs: AUCp is expected to
    be π/2 + (1 − π)·AUC. (AUCp − π/2) / (1 − π) is therefore returned, an estimate of the AUC. The correction changes
    values but never the order of models measured on the same cases, so a rough π does no harm where one is chosen. An
    estimate from few cases may leave [0, 1]; it is not cut off there, which would make different models equal.

    Source: Rahman Siddiquee et al., "AUCp: Pseudo-AUC for Inference Model Selection with Unlabeled Validation Data in
    Abnormality Detection", arXiv 2606.08742, 2026, first used for model selection in "Brainomaly", WACV 2024; the
    correction as in Menon et al., "Learning from Corrupted Binary Labels via Class-Probability Estimation", ICML 2015.

    Args:
        healthy_scores: (N,) of cases known to be healthy; higher is more abnormal.
        mixed_scores: (M,) of unannotated cases.
        healthy_share: π in [0, 1), the share of unannotated cases that are healthy; 0 gives AUCp as published.

    Raises:
        ValueError: for a share outside [0, 1); at 1, nothing is left to be told apart.
    """
    if not 0 <= healthy_share < 1:
        raise ValueError(f"`healthy_share` must be at least 0 and less than 1, got {healthy_share}")
    if not len(healthy_scores) or not len(mixed_scores):
        return undefined("AUCp", "healthy and unannotated cases are both needed")
    labels = np.repeat([False, True], [len(healthy_scores), len(mixed_scores)])
    raw = auc_score(labels, np.concatenate([healthy_scores, mixed_scores]))
    return (raw - healthy_share / 2) / (1 - healthy_share)
