"""What a method's maps show of a patient, by definition: loops over the pixels of whole maps.

Slow, and nothing is shared with the package but the records that hold a patient and the choices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from evaluation.measure import PatientTruth
from evaluation.measurements import ABNORMAL
from evaluation.protocol import Protocol

Pixel = tuple[int, int, int]
"""Place of the slice, row, column."""

NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A patient, a method's maps of it (S, H, W), and mean |G(x, c_x) − x| of its slices (S,)."""

    maps: np.ndarray
    truth: PatientTruth
    same_l1: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SeenSlice:
    label: int
    height: float
    score: float
    same_l1: float
    peak_hit: bool | None


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The sizes of lesions, for each the scores of all candidates that hit it, and scores of those that hit nothing."""

    sizes: list[int]
    hits: list[list[float]]
    false: list[float]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A patient whose pixels were all looked at.

    `pixels`, of the foreground, are pairs of a level and whether it is a lesion's; `missed` counts other lesion pixels.
    """

    label: int
    score: float
    slices: list[SeenSlice]
    images: int
    flat: Matched
    solid: Matched
    pixels: list[tuple[float, bool]]
    missed: int
    collateral: list[float]
    hausdorff95_mm: float


def look_at(case: Case, protocol: Protocol, *, pixel_threshold: float | None = None) -> Seen:
    """One patient; its lesions count in slices (`flat`) and through them (`solid`)."""
    truth, places = case.truth, case.truth.places
    shown: dict[Pixel, float] = {}
    for number, place in enumerate(places.tolist()):
        for row, column in np.argwhere(truth.foreground[number]).tolist():
            shown[place, row, column] = float(case.maps[number, row, column])
    lesion: set[Pixel] = set()
    if truth.lesions is not None:
        lesion = {(int(places[n]), r, c) for n, r, c in np.argwhere(truth.lesions > 0).tolist()}
    on: set[Pixel] = set()
    slices = []
    for number, place in enumerate(places.tolist()):
        own = {pixel: value for pixel, value in shown.items() if pixel[0] == place}
        chosen = stand_out(own, protocol)
        on |= chosen
        slices.append(
            SeenSlice(
                label=int(truth.labels[number]),
                height=float(truth.heights[number]),
                score=slice_score(own, chosen, protocol, lowest=min(shown.values(), default=0.0)),
                same_l1=float(case.same_l1[number]),
                peak_hit=peak_hit(own, lesion) if truth.lesions is not None and truth.labels[number] == 1 else None,
            )
        )
    abnormal = {int(place) for place, label in zip(places, truth.labels, strict=True) if label == ABNORMAL}
    drawn, nothing = truth.lesions is not None, Matched(sizes=[], hits=[], false=[])
    highest = sorted((own.score for own in slices), reverse=True)[: protocol.patient_top]
    return Seen(
        label=truth.label,
        score=sum(highest) / len(highest),
        slices=slices,
        images=len(slices) if drawn else 0,
        flat=match(on, lesion, shown, 2, protocol) if drawn else nothing,
        solid=match(stand_out(shown, protocol), lesion, shown, 3, protocol) if drawn else nothing,
        pixels=[(rounded_down(value), pixel in lesion) for pixel, value in shown.items()] if drawn else [],
        missed=len(lesion - set(shown)),
        collateral=[v for p, v in shown.items() if drawn and p[0] in abnormal and p not in lesion],
        hausdorff95_mm=hausdorff95(shown, lesion, pixel_threshold, truth.spacing_mm) if drawn else NAN,
    )


def stand_out(own: dict[Pixel, float], protocol: Protocol) -> set[Pixel]:
    """Pixels, of a slice or of all, above the threshold that they make together."""
    if not own:
        return set()
    ordered = sorted(own.values())
    if protocol.binarization == "percentile":
        enough = protocol.binarization_percentile / 100 * len(ordered)
        cut = next(v for v in ordered if sum(other <= v for other in ordered) >= enough)
    elif protocol.binarization == "fixed":
        assert protocol.binarization_threshold is not None
        cut = protocol.binarization_threshold
    else:
        cut = two_means_cut(ordered)
    return {pixel for pixel, value in own.items() if value > cut}


def two_means_cut(ordered: list[float]) -> float:
    """The largest value of the lower of two groups that have the least sum of squares."""
    values = np.array(ordered)
    best, cut = math.inf, math.inf
    for last in sorted(set(ordered))[:-1]:
        low, high = values[values <= last], values[values > last]
        squares = float(((low - low.mean()) ** 2).sum() + ((high - high.mean()) ** 2).sum())
        if squares < best:
            best, cut = squares, last
    return cut


def slice_score(own: dict[Pixel, float], chosen: set[Pixel], protocol: Protocol, *, lowest: float) -> float:
    if not own:
        return lowest if protocol.score == "max" else 0.0
    if protocol.score == "max":
        return max(own.values())
    if protocol.score == "mean":
        return math.fsum(own.values()) / len(own)
    if protocol.score == "percentile":
        return float(np.percentile(list(own.values()), protocol.score_percentile))
    candidates = large(components(chosen, 2, protocol), protocol)
    return math.fsum(own[pixel] for component in candidates for pixel in component)


def peak_hit(own: dict[Pixel, float], lesion: set[Pixel]) -> bool:
    """Whether the first of the highest pixels lies in a lesion; where all are equal none is the highest."""
    if len(set(own.values())) < 2:
        return False
    highest = max(own.values())
    return min(pixel for pixel, value in own.items() if value == highest) in lesion


def components(pixels: set[Pixel], spatial_dims: int, protocol: Protocol) -> list[set[Pixel]]:
    between = (0,) if spatial_dims == 2 else (-1, 0, 1)
    steps = [s for s in product(between, (-1, 0, 1), (-1, 0, 1)) if protocol.connectivity != 1 or sum(map(abs, s)) == 1]
    left, found = set(pixels), []
    while left:
        component, edge = set(), [left.pop()]
        while edge:
            place, row, column = edge.pop()
            component.add((place, row, column))
            near = {(place + a, row + b, column + c) for a, b, c in steps} & left
            left -= near
            edge.extend(near)
        found.append(component)
    return found


def large(all_components: list[set[Pixel]], protocol: Protocol) -> list[set[Pixel]]:
    return [component for component in all_components if len(component) > protocol.min_size_px]


def match(
    on: set[Pixel], lesion: set[Pixel], shown: dict[Pixel, float], spatial_dims: int, protocol: Protocol
) -> Matched:
    lesions = large(components(lesion, spatial_dims, protocol), protocol)
    too_small = lesion - {pixel for component in lesions for pixel in component}
    hits: list[list[float]] = [[] for _ in lesions]
    false = []
    for candidate in large(components(on, spatial_dims, protocol), protocol):
        peak = max(shown[pixel] for pixel in candidate)
        looked_at = candidate
        if protocol.hit == "centroid":
            center = [math.floor(sum(axis) / len(candidate) + 0.5) for axis in zip(*candidate, strict=True)]
            looked_at = {(center[0], center[1], center[2])}
        hit = [number for number, component in enumerate(lesions) if looked_at & component]
        if protocol.hit == "iou":
            least = protocol.min_iou
            hit = [n for n in hit if len(candidate & lesions[n]) / len(candidate | lesions[n]) >= least]
        for number in hit:
            hits[number].append(peak)
        if not hit and not looked_at & too_small:
            false.append(peak)
    return Matched(sizes=[len(component) for component in lesions], hits=hits, false=false)


def hausdorff95(
    shown: dict[Pixel, float], lesion: set[Pixel], threshold: float | None, spacing: tuple[float, ...] | None
) -> float:
    called = {pixel for pixel, value in shown.items() if threshold is not None and value >= threshold}
    if not called or not lesion or spacing is None:
        return NAN

    def surface(mask: set[Pixel]) -> list[list[float]]:
        faces = [s for s in product((-1, 0, 1), repeat=3) if sum(map(abs, s)) == 1]
        edge = [p for p in mask if any((p[0] + a, p[1] + b, p[2] + c) not in mask for a, b, c in faces)]
        return [[x * mm for x, mm in zip(pixel, spacing, strict=True)] for pixel in edge]

    one, other = surface(called), surface(lesion)
    there = [min(math.dist(a, b) for b in other) for a in one]
    back = [min(math.dist(a, b) for b in one) for a in other]
    return max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))


def rounded_down(value: float) -> float:
    """To a mantissa of 10 bits behind its leading one."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(math.floor(mantissa * 2**11), exponent - 11)
