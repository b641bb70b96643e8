"""What `evaluate` returns: figures, as JSON and in tables like those of NVIDIA's model cards. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean

from .scoring import FailedQuery

TINY = 30
"""Queries below which a percentile interval misses what it should hold clearly more often than it says."""

_GAIN = "gain (95 %)"
_Table = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric's value, and what a scorer gained over its retriever.

    Attributes:
        value: The mean, a fraction.
        gain: The mean gain over the retriever alone; None: it is the retriever.
        low: Lower end of the gain's 95 % interval.
        high: Its upper end.
        queries: How many the interval is drawn from; of several sets, those of the smallest.
    """

    value: float
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    queries: int | None = None

    @property
    def is_tiny(self) -> bool:
        """Whether its interval is drawn from too few queries to be trusted."""
        return self.queries is not None and self.queries < TINY


@dataclass(frozen=True, slots=True)
class SetInfo:
    """What was measured on.

    Attributes:
        name: The data set.
        queries: How many were asked.
        of: How many judged queries it has.
        passages: How many were searched, in one language.
        pairs: Language pairs, query-passage; none for a set in one language.
        averaged: Of these, those that the set's figure is the mean of.
        query_languages: Of the pairs.
        passage_languages: Likewise.
        remarks: What is to be known of it, and how often: judgements that name nothing, the queries' own
            passages that were dropped.
    """

    name: str
    queries: int
    of: int
    passages: int
    pairs: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()
    query_languages: tuple[str, ...] = ()
    passage_languages: tuple[str, ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """A pipeline's figures.

    Attributes:
        retriever: What found the candidates.
        scorer: What reranked them; None: nothing did.
        average: By metric, the mean over the sets; empty if a query failed.
        sets: By set and metric; without the sets in which a query failed.
        pairs: By set, language pair and metric: the mean.
        failures: Queries that could not be scored.
    """

    retriever: str
    scorer: str | None
    average: Mapping[str, Figure]
    sets: Mapping[str, Mapping[str, Figure]]
    pairs: Mapping[str, Mapping[str, Mapping[str, float]]]
    failures: tuple[FailedQuery, ...] = ()

    @property
    def pipeline(self) -> str:
        """Retriever and scorer, as a table calls them."""
        return pipeline_name(self.retriever, self.scorer)


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` returns.

    Attributes:
        metrics: Their names, the most important first.
        sets: What was measured on.
        rows: For each retriever its own row, then one for each scorer.
        top_k: Candidates a query.
        resamples: Draws behind each interval.
        seed: Of the sample of queries and of the draws.
    """

    metrics: tuple[str, ...]
    sets: tuple[SetInfo, ...]
    rows: tuple[PipelineRow, ...]
    top_k: int
    resamples: int
    seed: int

    @property
    def failures(self) -> tuple[FailedQuery, ...]:
        """All queries that could not be scored; each once, whatever the number of retrievers."""
        return tuple(dict.fromkeys(one for row in self.rows for one in row.failures))

    @property
    def remarks(self) -> list[str]:
        """What is to be known of the sets, a line each."""
        return [f"{one.name}: {what}: {count:,}" for one in self.sets for what, count in one.remarks.items()]

    def to_json(self) -> str:
        """Everything, as one JSON document; values are fractions."""
        rows = [{"pipeline": row.pipeline, **asdict(row)} for row in self.rows]
        return json.dumps({**asdict(self), "rows": rows}, indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """The table, a matrix of each set in several languages, and notes on both, for a terminal."""
        return self._laid_out(_columns, "\n", "")

    def to_markdown(self) -> str:
        """The same in Markdown."""
        return self._laid_out(_markdown, "\n\n", "- ")

    def _laid_out(self, layout: Callable[[_Table], str], gap: str, bullet: str) -> str:
        matrices = [f"{title}:{gap}{layout(matrix)}" for title, matrix in _matrices(self)]
        notes = "\n".join(bullet + line for line in _notes(self))
        return "\n\n".join([layout(_table(self)), *matrices, notes])


def pipeline_name(retriever: str, scorer: str | None) -> str:
    """What a retriever is called with what reranks it; None: nothing does."""
    return retriever if scorer is None else f"{retriever} + {scorer}"


def _table(report: Report) -> list[list[str]]:
    """One table: the first metric's average, gain and sets, then the averages of the other metrics."""
    first, *others = report.metrics
    several = len(report.sets) > 1

    def line(name: str, of_first: list[str], sets: list[str], of_others: list[list[str]]) -> list[str]:
        cells = [*of_first, *sets] if several else [*sets, of_first[1]]  # one set needs no average
        return [name, *cells, *(cell for pair in of_others for cell in pair)]

    def figures(row: PipelineRow, metric: str) -> list[str]:
        return [_value(row.average.get(metric)), _gain(row.average.get(metric))]

    average = "average " if several else ""
    names = [one.name if several else f"{one.name} {_shown(first)}" for one in report.sets]
    heads = [[f"{average}{_shown(metric)}", _GAIN] for metric in report.metrics]
    table = [line("pipeline", heads[0], names, heads[1:])]
    for row in report.rows:
        name = row.pipeline + (" (!)" if row.failures else "")
        sets = [_value(row.sets.get(one.name, {}).get(first)) for one in report.sets]
        table.append(line(name, figures(row, first), sets, [figures(row, metric) for metric in others]))
    return table


def _shown(metric: str) -> str:
    """As model cards write it."""
    return f"Recall{metric[1:]}" if metric.startswith("R@") else metric


def _value(figure: Figure | None) -> str:
    return "failed" if figure is None else f"{figure.value:.3f}"


def _gain(figure: Figure | None) -> str:
    if figure is None or figure.gain is None:
        return ""
    few = f", n = {figure.queries}" if figure.is_tiny else ""
    return f"{figure.gain:+.3f} ({figure.low:+.3f} to {figure.high:+.3f}{few})"


def _matrices(report: Report) -> list[tuple[str, list[list[str]]]]:
    metric = report.metrics[0]
    return [
        (
            f"{_shown(metric)} of {row.pipeline} on {one.name}, query language by passage language",
            _matrix(one, {pair: values[metric] for pair, values in row.pairs[one.name].items()}),
        )
        for one in report.sets
        for row in report.rows
        if len(one.pairs) > 1 and one.name in row.pairs
    ]


def _matrix(one: SetInfo, values: Mapping[str, float]) -> list[list[str]]:
    """Query languages by passage languages, with the means of the pairs that are averaged at the margins."""

    def cells(pairs: Sequence[str]) -> list[str]:
        shown = [f"{values[pair]:.3f}" if pair in values else "" for pair in pairs]
        counted = [values[pair] for pair in pairs if pair in one.averaged]
        return [*shown, f"{fmean(counted):.3f}" if counted else ""]

    def mean(passage: str) -> str:
        return cells([f"{query}-{passage}" for query in one.query_languages])[-1]

    lines = [
        [query, *cells([f"{query}-{passage}" for passage in one.passage_languages])]
        for query in one.query_languages
    ]
    whole = f"{fmean(values[pair] for pair in one.averaged):.3f}"
    return [
        ["query", *one.passage_languages, "mean"],
        *lines,
        ["mean", *map(mean, one.passage_languages), whole],
    ]


def _notes(report: Report) -> list[str]:
    """What was measured on, what an average is, and what failed."""
    lines = [*map(_described, report.sets), *report.remarks]
    gains = f"; gains with paired bootstrap intervals ({report.resamples:,} draws)"
    has_gains = any(row.scorer is not None for row in report.rows)
    lines.append(f"the first {report.top_k} of each retriever{gains if has_gains else ''}")
    if any(one.is_tiny for row in report.rows for one in row.average.values()):
        lines.append(
            f"n: fewer than {TINY} queries, on which such an interval is too narrow: a hint, no proof"
        )
    for failure in report.failures:
        where = "" if failure.query is None else f", query {failure.query}"
        lines.append(f"(!) {failure.task}{where}: {failure.error}")
    return lines


def _described(one: SetInfo) -> str:
    queries = f"{one.queries:,}" + (f" of {one.of:,}" if one.of > one.queries else "")
    text = f"{one.name}: {queries} queries, {one.passages:,} passages"
    if not one.pairs:
        return text
    same = {f"{language}-{language}" for language in one.query_languages}
    different = "of languages" if same & set(one.averaged) else "of different languages"
    count = len(one.averaged)
    return f"{text} in each language; the mean over {count} {'pair' if count == 1 else 'pairs'} {different}"


def _markdown(table: _Table) -> str:
    head, *rows = [[cell.replace("|", "\\|") for cell in line] for line in table]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _columns(table: _Table) -> str:
    first, *others = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            [name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))]
        ).rstrip()
        for name, *cells in table
    )
