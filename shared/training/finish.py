"""From a checkpoint to what ships: calibration, the model's folder, its figures, its card. No training.

`python -m training.finish --checkpoint RUN/mean.pt --tokenizer RUN/tokenizer.json --held-out
RUN/held-out.jsonl --data DATA --report REPORT --model FOLDER` does all of it, --parts a part; what was
measured of these weights before is in the report.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from nvrerank import LocalScorer, Scorer
from nvrerank.texts import is_blank
from training import calibration, card, figures
from training.calibration import Calibration
from training.export import config_of, export, mean_of, mended, write_config
from training.mining import Question, read_questions
from training.start import CROSSING
from training.texts import Texts

log = logging.getLogger(__name__)

PARTS = ("export", *figures.PARTS, "card")


def finish(
    checkpoints: Sequence[Path],
    tokenizer: Tokenizer,
    held: Sequence[Question],
    out: Path,
    *,
    crossing: int = CROSSING,
) -> dict[str, float]:
    """Writes the folder of the mean of checkpoints, and into it how its own scores are calibrated.

    Returns:
        What the calibration is and how far it is off.
    """
    state = mean_of(checkpoints)
    state["classes"] = state["classes"].int()
    made = mended(tokenizer)
    config = config_of(state, Texts(made), crossing=crossing)
    export(state, config, made, out)
    with LocalScorer(out, long_passages="truncate") as scorer:
        fitted, found = calibrate(scorer, held)
    write_config(replace(config, **asdict(fitted)), out)
    return found


def calibrate(scorer: Scorer, held: Sequence[Question]) -> tuple[Calibration, dict[str, float]]:
    """Fits on all questions; the error is that of a fit on every other one, on the rest.

    Returns:
        The calibration, and its figures by name.
    """
    scored = [
        torch.tensor(
            scorer.score(one.query, [text.full for text in one.candidates if not is_blank(text.full)])
        )
        for one in held
        if not is_blank(one.candidates[0].full)
    ]

    def joined(chosen: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        relevant = [torch.arange(len(one)) == 0 for one in chosen]
        return torch.cat(list(chosen)), torch.cat(relevant).float()

    half, whole = (calibration.fit(*joined(chosen)) for chosen in (scored[::2], scored))
    raw, relevant = joined(scored[1::2])
    likely = torch.sigmoid(half.logits(raw))
    found = {
        **asdict(whole),
        "expected_calibration_error": calibration.expected_error(likely, relevant),
        "probability_of_positives": float(likely[relevant == 1].mean()),
        "probability_of_negatives": float(likely[relevant == 0].mean()),
        "share_of_positives": float(relevant.mean()),
        "questions": len(held),
    }
    log.info("%s", found)
    return whole, found


def main(arguments: Sequence[str] | None = None) -> None:
    """Does the parts; --checkpoint left out, the folder's model is measured as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="do these alone")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        nargs="+",
        help="averaged weights, mean.pt, beside its last.pt; of several their mean",
    )
    parser.add_argument("--tokenizer", type=Path, help="the one it was trained with")
    parser.add_argument("--held-out", type=Path, help="questions that it was not trained on")
    parser.add_argument("--calibrate-on", type=int, default=300, help="so many of them")
    parser.add_argument("--model", type=Path, required=True, help="where the model's folder is, or goes")
    parser.add_argument("--data", type=Path, required=True, help="the folder with eval/")
    parser.add_argument("--report", type=Path, required=True, help="where figures are kept")
    parser.add_argument("--queries", type=int, default=75, help="of each English set")
    parser.add_argument("--queries-within", type=int, default=75, help="of each language of xquad")
    parser.add_argument("--queries-across", type=int, default=30, help="of each pair of languages")
    parser.add_argument("--card", type=Path, help="where the card goes; else it is printed")
    parser.add_argument("--page", type=Path, help="of the docs, whose marked figures are made anew")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    exported = {}
    if given.checkpoint and "export" in given.parts:
        held = read_questions(given.held_out)[: given.calibrate_on]
        tokenizer = Tokenizer.from_file(str(given.tokenizer))
        fitted = finish(given.checkpoint, tokenizer, held, given.model)
        exported = fitted | figures.progress_of(given.checkpoint[-1].with_name("last.pt"))
    folder = figures.folder_of(given.model, given.report)
    if exported:
        (folder / "training.json").write_text(json.dumps(exported, indent=1) + "\n")
    limits = figures.Limits(given.queries, given.queries_within, given.queries_across)
    figures.measure(given.data / "eval", given.model, folder, limits, given.parts)
    if "card" not in given.parts:
        return
    found = card.read(folder)
    text = card.filled(found)
    if given.page:
        page = card.refilled(given.page.read_text(encoding="utf-8"), found)
        given.page.write_text(page, encoding="utf-8")
    if given.card:
        given.card.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
