"""A report as a table, laid out as NVIDIA's model cards have it: pipeline, average, each set. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .metrics import TINY
from .report import Figure, PipelineRow, Report, SetInfo


def as_markdown(report: Report) -> str:
    """The table in Markdown, then the matrix of each set in several languages, then what was measured on."""
    blocks = [_markdown(_table(report))]
    for title, matrix in _matrices(report):
        blocks += [f"{title}:", _markdown(matrix)]
    return "\n\n".join([*blocks, "\n".join(f"- {line}" for line in _notes(report))])


def as_text(report: Report) -> str:
    """The same in columns, for a terminal."""
    blocks = [_columns(_table(report))]
    for title, matrix in _matrices(report):
        blocks += [f"{title}:\n{_columns(matrix)}"]
    return "\n\n".join([*blocks, "\n".join(_notes(report))])


def _table(report: Report) -> list[list[str]]:
    """One table: the first metric's average, gain and sets, then the averages of the other metrics."""
    first, *others = map(_shown, report.metrics)
    several = len(report.sets) > 1
    head = ["pipeline", f"average {first}", "gain (95 %)"] if several else ["pipeline"]
    head += [name.name if several else f"{name.name} {first}" for name in report.sets]
    head += [] if several else ["gain (95 %)"]
    for metric in others:
        head += [f"average {metric}" if several else metric, "gain (95 %)"]
    return [head, *(_line(row, report, several=several) for row in report.rows)]


def _line(row: PipelineRow, report: Report, *, several: bool) -> list[str]:
    first, *others = report.metrics
    of_sets = [_value(row.sets.get(one.name, {}).get(first)) for one in report.sets]
    line = [row.pipeline + (" (!)" if row.failures else "")]
    average, gain = _value(row.average.get(first)), _gain(row.average.get(first))
    line += [average, gain, *of_sets] if several else [*of_sets, gain]
    for metric in others:
        line += [_value(row.average.get(metric)), _gain(row.average.get(metric))]
    return line


def _shown(metric: str) -> str:
    """As model cards write it."""
    return f"Recall{metric[1:]}" if metric.startswith("R@") else metric


def _value(figure: Figure | None) -> str:
    return "failed" if figure is None else f"{figure.value:.3f}"


def _gain(figure: Figure | None) -> str:
    if figure is None or figure.gain is None or figure.low is None or figure.high is None:
        return ""
    few = f", n = {figure.queries}" if _is_tiny(figure) else ""
    return f"{figure.gain:+.3f} ({figure.low:+.3f} to {figure.high:+.3f}{few})"


def _is_tiny(figure: Figure) -> bool:
    return figure.queries is not None and figure.queries < TINY


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


def _matrix(one: SetInfo, values: dict[str, float]) -> list[list[str]]:
    def cell(query: str, passage: str) -> str:
        value = values.get(f"{query}-{passage}")
        return "" if value is None else f"{value:.3f}"

    return [
        ["query", *one.passage_languages],
        *(
            [query, *(cell(query, passage) for passage in one.passage_languages)]
            for query in one.query_languages
        ),
    ]


def _notes(report: Report) -> list[str]:
    """What was measured on, what an average is, and what failed."""
    lines = [*map(_described, report.sets), *report.remarks]
    gains = f"; gains with paired bootstrap intervals ({report.resamples:,} draws)"
    has_gains = any(row.scorer is not None for row in report.rows)
    lines.append(f"the first {report.top_k} of each retriever{gains if has_gains else ''}")
    if any(_is_tiny(one) for row in report.rows for one in row.average.values()):
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


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *rows = [[cell.replace("|", "\\|") for cell in line] for line in table]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _columns(table: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in table
    )
