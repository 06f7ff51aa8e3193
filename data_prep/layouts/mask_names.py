"""Words in the names of files that say a file is a mask."""

from __future__ import annotations

import re

_MASK = r"seg|segmentation|masks?|labels?|lesions?|roi"
_BRAIN_MASK = r"(?:brain|bet)[^0-9a-z]?mask"
_MASK_WORD = re.compile(rf"(?<![0-9a-z])(?:{_MASK})(?![0-9a-z])")
_BRAIN_MASK_WORD = re.compile(rf"(?<![0-9a-z]){_BRAIN_MASK}(?![0-9a-z])")
_LAST_WORD = re.compile(rf"(?P<base>.+?)[^0-9a-z](?:(?P<brain>{_BRAIN_MASK})|{_MASK})", re.DOTALL | re.IGNORECASE)


def says_brain_mask(name: str) -> bool:
    """Whether a name has the word brainmask, brain_mask or bet_mask in it."""
    return bool(_BRAIN_MASK_WORD.search(name.lower()))


def says_mask(name: str) -> bool:
    """Whether a name has a word such as seg, mask, label, lesion or roi in it, apart from other letters and digits."""
    return bool(_MASK_WORD.search(name.lower()))


def without_mask_word(name: str) -> tuple[str, bool] | None:
    """What precedes such a word at the end of a name, and whether the word is that of a brain mask; None without.

    `("A", False)` for `A_seg`, `("A", True)` for `A_brain_mask`.
    """
    match = _LAST_WORD.fullmatch(name)
    return (match["base"], bool(match["brain"])) if match else None
