"""When two tasks say nearly the same, and which prompts are work of one kind.

Owns both measures and the grouping by them. Does not own what a task is, nor what a group is good for.
Invariant: pure, and independent of the order of texts. Nearly the same means that one who has seen the
one has seen the other: numbers, names of files and identifiers are equal, and of the words that carry
meaning at most one in five differs. Of one kind is much looser: the same thing is asked for, of something
else.
"""

import itertools
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

__all__ = ["PLAIN", "kinds_of", "near_groups", "words_of"]

_TOKEN = re.compile(r"[^\s\"'`,;:!?()\[\]{}<>]+")
_MARK = re.compile(r"\d|\w[./\\_@#-]\w|^[./~$@#]")
_FIFTHS = 4
"""Of five words that either text has, so many are in both where the two are nearly the same."""
_SHORT = 3

_ENGLISH = (
    "a about an and any are as at be by can could d do does for from give has have hello help hey hi how i if in into "
    "is it its just kindly let like ll m make may me my need new no not now of on or our please s shall should so some "
    "thank thanks that the their them then there this to us use ve want was we what when where whether which will with "
    "would you your"
)
# Of other languages those that no English request is about: neither `die`, `war`, `man` nor `sin`.
_OTHERS = (
    # German, Dutch
    "aber als am auch auf aus bei bis bitte da damit dann das dass dein deine dem der des dir doch durch ein eine "
    "einem einen einer eines er es euch für habe hier ich ihm ihn ihr im ist ja jetzt kann kannst mal mein meine "
    "mich mir mit mochte möchte nach nicht noch nun nur ob oder ohne sich sie sind soll sowie über um und uns "
    "unser unsere vom von vor wenn wie wieder wir wird zu zum zur dan dat een graag het hij ik je jij kan kun met "
    "mij mijn naar niet ons onze ook over te uit van voor wij wil zijn "
    # French
    "au aux avec ce cela ces cette chez dans de du elle en est et il ils je la le les leur leurs lui ma mais "
    "merci mes moi mon nos notre nous ou où par pas pour plaît que qui sans ses si sont sur svp ta te toi ton tu "
    "un une veuillez vos votre vous y été être "
    # Spanish, Portuguese, Italian
    "al algo como con cual cuando del el ella ellos era eres es esa ese eso esta este esto está favor gracias hay "
    "las lo los me mi mis más muy no nos nuestra nuestro para pero por porque puede puedes que se según ser si "
    "sobre soy su sus también tus una unas uno unos usted ya aos ao como da das dos ela ele em essa esse está eu "
    "foi isso isto já mais mas meu minha muito na nas não nossa nosso num numa o obrigado os ou pela pelo pode "
    "qual são sem ser seu sua também tem um uma você agli ai alla alle anche che chi ci col come cosa cui dai dal "
    "dalla degli dei della delle favore di e gli ha hai ho il io lei loro mio nel nella nelle noi nostra nostro per "
    "perché più può quale quando questa questo sei sono sua sui sulla sulle suo tra un voi "
)

PLAIN = frozenset(f"{_ENGLISH} {_OTHERS}".split())
"""Words that say little about what is asked for."""


def near_groups(texts: Sequence[str]) -> list[int]:
    """For each text the number of its group: the place of the first text that it is nearly the same as.

    Likeness is handed on: what is like something in a group is in it.
    """
    parent = list(range(len(texts)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for first, second in _near_pairs(texts):
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return [root(place) for place in range(len(texts))]


def words_of(text: str) -> list[str]:
    """The words of a text, folded; of a language without spaces, its pairs of characters.

    What is not seen is none, and a sign that only decorates (an emoji, a dash) is one where nothing else is said.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        folded = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    words, signs = list[str](), list[str]()
    for token in _TOKEN.findall(folded):
        word = token.strip(".-*_/")
        if word and not word.isascii() and _is_unspaced(word):
            words += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        elif word:
            (words if word.isascii() or _says_something(word) else signs).append(word)
    return words or signs


def _says_something(word: str) -> bool:
    """Whether there is a letter, a number, or a sign of mathematics or money in it."""
    return any(unicodedata.category(character)[:2] in ("Sm", "Sc") or character.isalnum() for character in word)


def _is_unspaced(word: str) -> bool:
    return any("\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" or "\u0e00" <= c <= "\u0e7f" for c in word)


def _near_pairs(texts: Sequence[str]) -> Iterable[tuple[int, int]]:
    """Pairs that are nearly the same. Only those are compared that share a rare word: the others cannot be."""
    words = [frozenset(words_of(text)) for text in texts]
    marks = [frozenset(word for word in found if _MARK.search(word)) for found in words]
    meant = [frozenset(map(_singular, found - PLAIN or found)) for found in words]
    count = Counter(itertools.chain.from_iterable(meant))
    holders = defaultdict[tuple[frozenset[str], str], list[int]](list)
    for place, found in enumerate(meant):
        rarest = sorted(found, key=lambda word: (count[word], word))
        seen = set[int]()
        # One that has all others of these words has too few of the rest; in whole numbers, as 1 - 0.8 is below a fifth.
        for word in rarest[: len(found) * (5 - _FIFTHS) // 5 + 1] or [""]:
            for other in holders[marks[place], word]:
                if other not in seen and _are_near(found, meant[other]):
                    yield other, place
                seen.add(other)
            holders[marks[place], word].append(place)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > _SHORT and word[-1] == "s" and word[-2] != "s" else word


def _are_near(one: frozenset[str], other: frozenset[str]) -> bool:
    return 5 * len(one & other) >= _FIFTHS * len(one | other)


# Kinds. What is asked for stands first in most requests: the words of the beginning count double, and those that
# lead say most. A leading word that begins any request says nothing without the next one. Names, numbers and what
# only one text says are what the work is done on.
_KIND = 0.55
_BEGINNING = 6
_MOST_WORDS = 60
_LONGEST_SUFFIX = 5
_VERBS = (
    "add build change check create do explain find fix get give go implement improve look make move please rename "
    "refactor remove run set show start test try update use work write"
)
_ANY_WORK = frozenset(_VERBS.split())


def kinds_of(texts: Sequence[str]) -> list[int]:
    """For each text the number of its kind, counted in the order of the first text of each.

    Texts that are nearly the same are of one kind; other ones only where the same word leads them.
    """
    near = near_groups(texts)
    vectors = _vectors(texts)
    shelves = defaultdict[str, _Shelf](_Shelf)
    kinds = dict[int, tuple[str, int]]()
    for place in sorted(set(near), key=lambda place: texts[place]):
        lead, vector = vectors[place]
        first = lead.partition(" ")[0]
        kinds[place] = first, shelves[first].put(lead, vector)
    names = dict[tuple[str, int], int]()
    return [names.setdefault(kinds[root], len(names)) for root in near]


class _Kind:
    """How many texts are of a kind, what leads them, and the length of the sum of their vectors, squared."""

    def __init__(self) -> None:
        self.leads = Counter[str]()
        self.square = 0.0
        self.texts = 0


class _Shelf:
    """The kinds that one word leads. Of each word it is known in which of them it is, and how much."""

    def __init__(self) -> None:
        self._kinds = list[_Kind]()
        self._weights = defaultdict[str, dict[int, float]](dict)

    def put(self, lead: str, vector: dict[str, float]) -> int:
        """The number of the kind that the text belongs to, an old one or a new one."""
        dots = defaultdict[int, float](float)
        for word, weight in vector.items():
            for number, sum_ in self._weights[word].items():
                dots[number] += weight * sum_
        best = max(dots, key=lambda number: (self._likeness(number, lead, dots[number]), -number), default=None)
        if best is None or self._likeness(best, lead, dots[best]) < _KIND:
            best = len(self._kinds)
            self._kinds.append(_Kind())
        self._take(best, lead, vector)
        return best

    def _likeness(self, number: int, lead: str, dot: float) -> float:
        kind = self._kinds[number]
        said = dot / math.sqrt(kind.square)
        return max(said, (kind.leads[lead] / kind.texts + said) / 2)

    def _take(self, number: int, lead: str, vector: dict[str, float]) -> None:
        kind = self._kinds[number]
        kind.leads[lead] += 1
        kind.texts += 1
        for word, weight in vector.items():
            weights = self._weights[word]
            before = weights.get(number, 0.0)
            weights[number] = before + weight
            kind.square += (before + weight) ** 2 - before**2


def _vectors(texts: Sequence[str]) -> list[tuple[str, dict[str, float]]]:
    """Of each text what leads it, and its weighted words, of length 1."""
    meant = [_meant(text) for text in texts]
    count = Counter(itertools.chain.from_iterable(set(found) for found in meant))
    vectors = list[tuple[str, dict[str, float]]]()
    for found in meant:
        weights = dict[str, float]()
        for position, word in enumerate(found):
            weight = (2.0 if position < _BEGINNING else 1.0) * (0.4 if count[word] == 1 else 1.0)
            weights[word] = max(weights.get(word, 0.0), weight)
        norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        vectors.append((_lead(found), {word: weight / norm for word, weight in weights.items()}))
    return vectors


def _lead(found: list[str]) -> str:
    return " ".join(found[: 2 if found[:1] and found[0] in _ANY_WORK else 1])


def _meant(text: str) -> list[str]:
    """The words that carry meaning; of a file its kind, of a number that it is one."""
    found = list[str]()
    for word in words_of(text)[: 3 * _MOST_WORDS]:
        if _MARK.search(word):
            stem, dot, suffix = word.rpartition(".")
            found.append(f".{suffix}" if dot and stem and suffix.isalnum() and len(suffix) <= _LONGEST_SUFFIX else "#")
        elif word not in PLAIN:
            found.append(_singular(word))
    return found[:_MOST_WORDS]
