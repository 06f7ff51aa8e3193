"""How pages and the terminal call the numbers of an evaluation."""

from __future__ import annotations

NUMBER_TITLES = {
    "slices.auc": "Slice AUC",
    "slices.auc_position_matched": "Slice AUC at equal height",
    "slices.peak_hit": "Peak in the lesion",
    "slices.sensitivity": "Slice sensitivity",
    "slices.specificity": "Slice specificity",
    "patients.auc": "Patient AUC",
    "patients.sensitivity": "Patient sensitivity",
    "patients.specificity": "Patient specificity",
    "lesions.sensitivity": "Lesions found",
    "lesions.false_positives_per_image": "False positives per image",
    "lesions.froc_score": "FROC score (1/8 to 8 per image)",
    "lesions.froc_area": "FROC area (to 1 per image)",
    "lesions_3d.sensitivity": "Lesions found in 3D",
    "lesions_3d.false_positives_per_patient": "False positives per patient in 3D",
    "lesions_3d.froc_score": "FROC score in 3D (1/8 to 8 per patient)",
    "pixels.average_precision": "Pixel average precision",
    "pixels.dice": "Dice",
    "pixels.dice_oracle": "Dice at the best threshold in hindsight (oracle)",
    "pixels.hausdorff95_mm": "Hausdorff distance, 95th percentile, mm",
    "fixed_point.same_domain_l1": "Change when asked for none (same-domain L1)",
    "fixed_point.collateral_change": "Change outside lesions (collateral change)",
}
COMPARED = (
    "slices.auc",
    "slices.auc_position_matched",
    "slices.peak_hit",
    "lesions.sensitivity",
    "lesions.false_positives_per_image",
    "lesions.froc_score",
    "pixels.average_precision",
    "pixels.dice",
    "patients.auc",
)
"""The numbers that stand beside every baseline's."""


def digits_of(number: str) -> int:
    """Digits after the point: changes of intensity are small, distances large."""
    return 4 if number.startswith("fixed_point.") else 1 if number.endswith("_mm") else 3
