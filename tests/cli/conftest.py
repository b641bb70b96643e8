import pytest
from typer.testing import CliRunner

from nvrerank import Scorer
from nvrerank.cli import app


class WordsInCommon(Scorer):
    def score(self, query, passages):
        words = set(query.lower().split())
        return [float(len(words & set(passage.lower().split()))) for passage in passages]


@pytest.fixture
def made_with():
    """What the command line asked the scorer to be, one entry for each scorer made."""
    return []


@pytest.fixture
def command(made_with):
    """Runs `nvrerank` with a scorer that counts words in common."""

    def make_scorer(options):
        made_with.append(options)
        return WordsInCommon()

    def run(*arguments, stdin=None, obj=make_scorer):
        return CliRunner().invoke(app, [str(one) for one in arguments], input=stdin, obj=obj)

    return run


@pytest.fixture
def notes(tmp_path):
    """A file whose paragraphs are long enough to stand by themselves."""
    path = tmp_path / "notes.txt"
    path.write_text(
        "Cats sleep through most of the day and hunt at dusk, which is why they wake people so early.\n"
        "\n"
        "The capital of France is Paris, and it has been so for most of the time since the tenth century.\n"
        "\n\n"
        "France borders eight countries on the continent, among them Spain, Italy, Germany and Belgium.\n",
        encoding="utf-8",
    )
    return path
