"""`nvrerank models`: lists the models we know."""

from __future__ import annotations

from nvrerank.models import MODELS, RerankModel

from .output import print_out


def models() -> None:
    """List NVIDIA's rerankers: context in tokens, whether hosted, what to use instead, what else to know."""
    rows = [("model", "context", "hosted", "use instead", "note"), *map(_model_row, MODELS)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print_out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _model_row(model: RerankModel) -> tuple[str, str, str, str, str]:
    hosted = "no" if model.hosted is None else f"until {model.retired}" if model.retired else "yes"
    return model.id, str(model.context), hosted, model.successor or "", model.note
