"""What the notebooks search, and search with, is what they say it is."""

from __future__ import annotations

import json

import bm25s
import pytest
from matplotlib import pyplot as plt
from PIL import Image
from qdrant_client import QdrantClient
from qdrant_client.models import Modifier, PointStruct, SparseVector, SparseVectorParams

from notebooks.charts import draw
from notebooks.offline import Bm25, paragraphs

TEXTS = [text for _, text in paragraphs()]
CHARTS = json.loads((draw.FOLDER / "charts.json").read_text(encoding="utf-8"))


def found_by_qdrant(question: str, modifier: Modifier) -> dict[int, float]:
    """Scores of the paragraphs that share a word with the question."""
    words = bm25s.tokenize(TEXTS, stopwords="en", token_pattern=r"\w+", return_ids=False, show_progress=False)
    bm25 = Bm25(average=sum(map(len, words)) / len(words))
    client = QdrantClient(":memory:")
    client.create_collection("all", sparse_vectors_config={"bm25": SparseVectorParams(modifier=modifier)})
    vectors = [SparseVector(**one._asdict()) for one in bm25.embed_documents(TEXTS)]
    client.upsert("all", [PointStruct(id=n, vector={"bm25": one}) for n, one in enumerate(vectors)])
    asked = SparseVector(**bm25.embed_query(question)._asdict())
    points = client.query_points("all", asked, using="bm25", limit=len(TEXTS)).points
    return {point.id: point.score for point in points}


def found_by_bm25s(question: str) -> dict[int, float]:
    tokens = {"stopwords": "en", "token_pattern": r"\w+", "show_progress": False}
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(bm25s.tokenize(TEXTS, **tokens), show_progress=False)
    [words] = bm25s.tokenize([question], return_ids=False, **tokens)
    scores = index.get_scores([word for word in words if word in index.vocab_dict])
    return {n: 2.2 * float(score) for n, score in enumerate(scores) if score}  # without the formula's k1 + 1


QUESTION = "Is there a fine for a drill or a tent that comes back late?"


def test_the_sparse_vectors_score_as_bm25_does():
    assert found_by_qdrant(QUESTION, Modifier.IDF) == pytest.approx(found_by_bm25s(QUESTION), rel=1e-5)


def test_without_the_rarity_of_words_they_would_not():
    assert found_by_qdrant(QUESTION, Modifier.NONE) != pytest.approx(found_by_bm25s(QUESTION), rel=0.1)


def test_the_handbook_s_paragraphs_have_neither_headings_nor_line_breaks():
    assert len(TEXTS) == 70
    assert not [text for text in TEXTS if text.startswith("#") or "\n" in text]


def test_each_chart_has_a_caption_questions_and_a_licence():
    assert sorted(CHARTS) == sorted(file.name for file in draw.FOLDER.glob("*.png"))
    assert all(chart["caption"] and chart["questions"] for chart in CHARTS.values())
    for name in CHARTS:
        with Image.open(draw.FOLDER / name) as image:
            assert image.text["Copyright"] == draw.LICENCE


@pytest.mark.parametrize("name", [name.removesuffix(".png") for name in CHARTS])
def test_what_a_chart_says_of_itself_is_what_the_script_would_draw(name):
    figure, axes = plt.subplots()
    with Image.open(draw.FOLDER / f"{name}.png") as image:
        assert image.text["Description"] == getattr(draw, name)(axes)
    plt.close(figure)


def test_the_charts_stay_small():
    assert sum(file.stat().st_size for file in draw.FOLDER.iterdir() if file.is_file()) < 100_000
