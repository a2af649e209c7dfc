"""Which texts fit some words: Okapi BM25 over names and descriptions.

Owns the measure. Does not own what is done with it.
Invariant: the same texts and words give the same numbers, whatever the order of the texts.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["relevance"]

_WORD = re.compile(r"[^\W_]{2,}")
_SATURATION, _LENGTH = 1.2, 0.75
"""The usual constants (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009)."""


def relevance(words: str, texts: Sequence[str]) -> list[float]:
    """How well each of `texts` fits `words`; 0 where they have no word in common."""
    bags = [Counter(_WORD.findall(text.casefold())) for text in texts]
    asked = sorted(set(_WORD.findall(words.casefold())))
    mean = sum(bag.total() for bag in bags) / max(1, len(bags)) or 1.0
    found = [0.0] * len(bags)
    for word in asked:
        holding = sum(word in bag for bag in bags)
        weight = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
        for place, bag in enumerate(bags):
            count = bag[word]
            length = 1 - _LENGTH + _LENGTH * bag.total() / mean
            found[place] += weight * count * (_SATURATION + 1) / (count + _SATURATION * length)
    return found
