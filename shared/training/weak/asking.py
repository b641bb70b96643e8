"""From what a manual says under a heading to what a person would ask for it. Pure."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from training.weak.rows import Entry

SHORTEST = 160  # characters of a passage
STATED = 220  # characters that a first sentence is followed by where it is the question as it stands
WORDS = range(3, 41)  # of a question
HEADING = 3  # words of a heading that says enough to be a question

_VERBS = frozenset(
    """access acquire add align allocate allow append apply assert assign attach avoid build calculate
    call change check clear clip clone close combine commit compare compute concatenate configure
    connect construct consume convert copy count create cut declare decode decrypt define delete detach
    determine disable disconnect dispatch display draw drop emit enable encode encrypt ensure escape
    estimate evaluate execute expand export extend extract fetch fill filter find fit flatten format
    free generate get group handle ignore import initialize insert inspect install invoke iterate join
    limit list load lock log look make map match measure merge modify move normalize obtain open order
    pad parse perform plot predict prepare prevent print produce provide pull push query raise randomize
    read receive reduce register remove rename render replace reset resize resolve restore retrieve
    return reverse rotate round run sample save schedule search select send serialize set shift show
    shuffle skip sort specify split stack start stop store strip sum swap test trace transform trim
    truncate turn undo unescape unlock update upgrade use validate verify wait wrap write yield""".split()  # noqa: SIM905
)
_GETTING = frozenset({"return", "get", "retrieve", "fetch", "provide"})
_ENDINGS = (
    ("", ""),
    ("s", ""),
    ("es", ""),
    ("ies", "y"),
)  # of the third person; the verb's own
_MARKUP = re.compile(r":[a-z:]{1,20}:(?=`)|`+|\*+(?!\s)|(?<!\s)\*+")  # reStructuredText's roles and emphasis
_SENTENCE_END = re.compile(r"(?<=[.:])\s(?=[A-Z(])|(?<=\)\.)\s")
_THIS = re.compile(r"\bthis ")
_OPENING = re.compile(r"(.{20,220}?[.:])(?:\s|$)(?=[A-Z\"'`(]|$)")
_ASIDE = re.compile(
    r"source code\b|source ·|contributors?\b|authors?$|acknowledge?ments?\b|see also$|history$|[<\W\d]*$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\w@\w{1,60}\.\w")
_ADDRESSES = 3  # in a text, from which on it is a list of people
_NO_PROSE = re.compile(r".*[{}|=#]|(?:added|new|changed|deprecated|removed) (?:in|since)\b", re.IGNORECASE)
_UNSTABLE = "nightly-only experimental API"


@dataclass(frozen=True)
class Section:
    """A piece of a manual.

    Attributes:
        heading: What stands above the text; "" where nothing does.
        text: In single spaces.
        item: Whether the heading is a name or a signature, which asks nothing by itself.
    """

    heading: str
    text: str
    item: bool = False


def entry_of(section: Section, chance: random.Random) -> Entry | None:
    """Its first sentence asks where it opens with a verb or stands apart, else its heading; None: neither."""
    heading, text = section.heading, section.text
    opening = None if heading.endswith("?") else _OPENING.match(text)
    if opening is not None:
        first, rest = opening[1], text[opening.end(1) :].strip()
        asked = question(first, chance)
        if asked and len(rest) > SHORTEST:
            return Entry(asked, rest if chance.random() < 0.5 else text, heading)  # noqa: PLR2004
        if len(rest) > STATED and not _NO_PROSE.match(first) and chance.random() < 0.35:  # noqa: PLR2004
            return Entry(first.rstrip(".:"), rest, heading)
    says_enough = not section.item and len(heading.split()) >= HEADING and "(" not in heading
    return Entry(heading, text) if says_enough or heading.endswith("?") else None


def usable(entry: Entry) -> bool:
    """Whether it is long enough and about the subject: no listing, list of people or unstable interface."""
    about = not any(_ASIDE.match(one) for one in (entry.query, entry.title) if one)
    people = len(_ADDRESS.findall(f"{entry.query} {entry.passage}")) > _ADDRESSES
    unstable = _UNSTABLE in entry.passage or _UNSTABLE in entry.query
    long_enough = len(entry.passage) >= SHORTEST and len(entry.query.split()) in WORDS
    return about and long_enough and not people and not unstable


def question(summary: str, chance: random.Random) -> str | None:
    """A person's question for what a summary says, in one of five wordings; None: it opens with no verb.

    `Return the zeros of the spline.` becomes `How do I get the zeros of the spline?`
    """
    first = _SENTENCE_END.split(_MARKUP.sub("", summary), maxsplit=1)[0]
    verb, _, rest = first.strip().rstrip(".:").partition(" ")
    base = base_of(verb.lower())
    if base is None or not rest:
        return None
    rest = re.sub(r"^(?:true|whether) if\b|^true when\b", "whether", rest, flags=re.IGNORECASE)
    if base in _GETTING:
        base = (
            "tell"
            if rest.startswith(("whether", "if "))
            else chance.choice(("get", "get", "find out", "obtain"))
        )
    rest = re.sub(r"^(?:The|A|An)\b", lambda article: article[0].lower(), rest)
    done = f"{base} {_THIS.sub(chance.choice(('a ', 'the ', 'my ')), rest)}"
    wordings = (
        f"How do I {done}?",
        f"How can I {done}?",
        f"how to {done}",
        f"I want to {done}. How?",
        f"What do I use to {done}?",
    )
    return chance.choice(wordings)


def base_of(word: str) -> str | None:
    """The verb that a word is, maybe in the third person; None: it is none that manuals open with."""
    stems = (word.removesuffix(ending) + instead for ending, instead in _ENDINGS if word.endswith(ending))
    return next((stem for stem in stems if stem in _VERBS), None)
