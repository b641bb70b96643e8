import json

import pytest
from support.evaluation import CORPUS, QRELS, QUERIES


@pytest.fixture
def make_set(tmp_path):
    """Writes a data set in BEIR's layout; `broken` replaces a file's text."""

    def write(name="toy", corpus=CORPUS, queries=QUERIES, qrels=QRELS, broken=(), languages=("",)):
        folder = tmp_path / "data" / name
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
        for language in languages:
            suffix = f".{language}" if language else ""
            mark = f"{language} " if language else ""
            for stem, texts in (("corpus", corpus), ("queries", queries)):
                lines = [json.dumps({"_id": key, "text": f"{mark}{text}"}) for key, text in texts.items()]
                (folder / f"{stem}{suffix}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        lines = [
            f"{query}\t{one}\t{grade}" for query, grades in qrels.items() for one, grade in grades.items()
        ]
        text = "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
        (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")
        for file, content in dict(broken).items():
            data = content if isinstance(content, bytes) else content.encode()
            (folder / file).write_bytes(data)
        return folder

    return write
