"""The cut of the vocabulary: the pieces that 30 languages need, and what the cut costs in tokens."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from training.texts import SPECIAL

LANGUAGES = (
    "ar bn cs da de el en es fa fi fr he hi hu id it ja ko nb nl pl pt ro ru sv tr uk vi zh".split()  # noqa: SIM905
)
"""Languages whose common words are kept whole; Thai has all its pieces."""

SCRIPTS = {
    *("LATIN", "COMMON", "CYRILLIC", "ARABIC", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "DEVANAGARI"),
    *("BENGALI", "HEBREW", "THAI", "GREEK", "IDEOGRAPHIC", "KATAKANA-HIRAGANA", "MODIFIER", "COMBINING"),
}
WHOLE_SCRIPTS = {"THAI", "GREEK", "DEVANAGARI"}
"""Scripts all of whose pieces are kept."""

REST, OWN_REST = 0.022, 0.01
"""Shares of each language's tokens, and of the training texts', that may fall to rarer pieces.

With these about 149,000 pieces are left, which in 4 bits take 32 MB: what a wheel of 60 MB has room for.
"""

Counts = Mapping[int, float]
"""How often each piece occurs."""

_COMMON_SIGN = -14.5  # log-probability of the rarest sign that is kept


@dataclass(frozen=True)
class Cut:
    """A smaller vocabulary.

    Attributes:
        kept: Old ids, ascending; their order gives the new ones.
        tokenizer: The tokenizer of the new ids.
    """

    kept: list[int]
    tokenizer: Tokenizer


def word_counts(tokenizer: Tokenizer, languages: Iterable[str] = LANGUAGES) -> dict[str, Counts]:
    """How often each piece occurs in each language, by wordfreq's lists of words; in capitals too."""
    from wordfreq import get_frequency_dict  # type: ignore[import-not-found, unused-ignore]

    found: dict[str, Counts] = {}
    for language in languages:
        words = get_frequency_dict(language, "best")
        forms = [(word, 0.85 * often) for word, often in words.items()]
        forms += [(word.capitalize(), 0.15 * often) for word, often in words.items()]
        if language in ("zh", "ja"):  # where words follow each other without a space
            forms += [("x" + word, often) for word, often in words.items()]
        encoded = tokenizer.encode_batch_fast([form for form, _ in forms], add_special_tokens=False)
        counts: defaultdict[int, float] = defaultdict(float)
        for (_, often), one in zip(forms, encoded, strict=True):
            for piece in one.ids:
                counts[piece] += often
        found[language] = counts
    return found


def text_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> Counter[int]:
    """How often each piece occurs in texts."""
    counts: Counter[int] = Counter()
    for one in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
        counts.update(one.ids)
    return counts


def cut(
    tokenizer: Tokenizer,
    by_language: Mapping[str, Counts],
    own: Counts,
    *,
    rest: float = REST,
    own_rest: float = OWN_REST,
) -> Cut:
    """Keeps special pieces, single letters of the wanted scripts, and whatever is common somewhere."""
    spec = json.loads(tokenizer.to_str())
    pieces: list[tuple[str, float]] = spec["model"]["vocab"]
    scripts = [script(piece) for piece, _ in pieces]
    kept = set()
    for number, (piece, score) in enumerate(pieces):
        sign = scripts[number] == "COMMON" and score > _COMMON_SIGN
        if len(piece) == 1 or sign or scripts[number] in WHOLE_SCRIPTS:
            kept.add(number)
    for counts in by_language.values():
        kept |= set(most(counts, rest))
    kept |= set(most(own, own_rest))
    chosen = sorted(n for n in {*kept, *range(SPECIAL)} if n < SPECIAL or scripts[n] in SCRIPTS)
    spec["model"]["vocab"] = [pieces[number] for number in chosen]
    return Cut(chosen, Tokenizer.from_str(json.dumps(spec)))


def most(counts: Counts, rest: float) -> list[int]:
    """The most frequent pieces, which together leave at most this share of all to the others."""
    wanted, seen, chosen = (1 - rest) * sum(counts.values()), 0.0, []
    for number, often in sorted(counts.items(), key=lambda one: one[1], reverse=True):
        if seen >= wanted:
            break
        chosen.append(number)
        seen += often
    return chosen


def script(piece: str) -> str:
    """The script of most of a piece's letters, by their Unicode names; COMMON: it has none."""
    letters = [one for one in piece if one.isalpha() or unicodedata.category(one).startswith("M")]
    found = Counter(unicodedata.name(one, "?").split()[0] for one in letters)
    return found.most_common(1)[0][0] if found else "COMMON"


def cost(old: Tokenizer, new: Tokenizer, texts: Sequence[str]) -> float:
    """How many tokens more texts take, as a share: 0.03 is three in a hundred."""
    before, after = (
        sum(len(one) for one in each.encode_batch_fast(list(texts), add_special_tokens=False))
        for each in (old, new)
    )
    return after / before - 1
