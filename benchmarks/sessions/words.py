"""Text as it stands in session files: prose, commands, what commands print.

Owns the vocabulary and its frequencies. Does not own how long a text is, nor where it goes.
Invariant: the same seed gives the same texts. Words follow Zipf's law over some eight thousand
different ones, so that a search index and a compressor meet what they meet in life.
"""

import itertools
import json
import random
from typing import Final

__all__ = ["Words", "quoted"]

_COMMON: Final = (  # noqa: SIM905  # a list of short strings is harder to read
    "the to of a in is and for that it with on this be not from as file are test at or by an if run function when "
    "have can was then which you will error we so code should I only use line but value all has one no fix there add "
    "return now does its name more type call make after set new check first data need config also path before same "
    "module read change where into case read default option build output still class argument string user index failed "
    "request result import server list branch commit write cache update version client table state key query second "
    "time method passes open loop retry header token thread event start handle response empty parser schema migration "
    "database service worker queue timeout socket buffer offset cursor column row join record session archive stream "
    "encode decode digest lock reader writer flush limit window report policy budget summary"
).split()
_ONSETS: Final = ("b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl", "qu")
_MORE_ONSETS: Final = ("r", "s", "sc", "sh", "sl", "st", "str", "t", "th", "tr", "v", "w", "z")
_VOWELS: Final = ("a", "e", "i", "o", "u", "ai", "ea", "ie", "ou", "io")
_CODAS: Final = ("", "", "l", "m", "n", "r", "s", "t", "nd", "rt", "ck", "x", "ng", "ss")
_RARE: Final = 8_000
_SENTENCE: Final = 11
_WORD_BYTES: Final = 5
_COMMANDS: Final = (
    "pytest -q tests/{0}/test_{1}.py",
    "rg -n {0} src/{1}",
    "sed -n '1,{n}p' src/{0}/{1}.py",
    "git diff --stat",
    "git log --oneline -{n}",
    "ls -la src/{0}",
    "python -m {0}.{1} --limit {n}",
    "cargo test {0}_{1}",
    "npm run {0}",
    "make {0} {1}",
    "cat src/{0}/{1}.toml",
    "curl -s localhost:{n}/{0}/{1}",
)
_PRINTED: Final = (
    "src/{0}/{1}.py:{n}: {2} {3} {4}",
    "{h} {0} {1} {2} {3}",
    "-rw-r--r-- 1 dev dev {n} Nov 12 09:41 {0}_{1}.py",
    "tests/{0}/test_{1}.py::test_{2}_{3} PASSED",
    '  File "src/{0}/{1}.py", line {n}, in {2}',
    "{0}: {1} = {n}.{h}",
    "    {0}({1}, {2}={n})",
    "warning: {0} {1} is {2} ({3})",
)


def quoted(text: str) -> str:
    """A JSON string as Codex writes it: UTF-8 stays as it is."""
    return json.dumps(text, ensure_ascii=False)


class Words:
    """The vocabulary of one data set."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311  # reproducible on purpose
        onsets = _ONSETS + _MORE_ONSETS
        made = (
            "".join(
                rng.choice(onsets) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2, 3)))
            )
            for _ in itertools.count()
        )
        self.rare = list(itertools.islice(dict.fromkeys(itertools.islice(made, 3 * _RARE)), _RARE))
        self._words = list(dict.fromkeys(_COMMON)) + self.rare
        self._weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(self._words))))

    def prose(self, rng: random.Random, size: int) -> str:
        """Sentences of `size` characters in all."""
        if size <= 0:
            return ""
        words = rng.choices(self._words, cum_weights=self._weights, k=size // _WORD_BYTES + 3)
        pieces = [" ".join(words[at : at + _SENTENCE]) for at in range(0, len(words), _SENTENCE)]
        text = ". ".join(piece[:1].upper() + piece[1:] for piece in pieces)
        return self._sized(rng, text, size)

    def command(self, rng: random.Random, size: int) -> str:
        """A shell line of about `size` characters."""
        text = self._filled(rng, rng.choice(_COMMANDS))
        while len(text) < size - 8:
            text += f" | {self._filled(rng, rng.choice(_COMMANDS))}"
        return text[: max(size, 4)].rstrip()

    def printed(self, rng: random.Random, size: int) -> str:
        """What a command printed, of `size` characters, with a newline at its end."""
        shape, lines, length = rng.choice(_PRINTED), list[str](), 0
        while length < size:
            line = self._filled(rng, shape)
            lines.append(line)
            length += len(line) + 1
            if rng.random() < 1 / 8:
                shape = rng.choice(_PRINTED)
        return "\n".join(lines)[: max(size - 1, 0)] + "\n"

    def _filled(self, rng: random.Random, shape: str) -> str:
        some = rng.choices(self._words, cum_weights=self._weights, k=5)
        return shape.format(*some, n=rng.randrange(1, 4_000), h=f"{rng.getrandbits(28):07x}")

    def _sized(self, rng: random.Random, text: str, size: int) -> str:
        while len(text) < size:
            text += " " + rng.choice(self.rare)
        return text[: size - 1] + "." if size > _SENTENCE else text[:size]
