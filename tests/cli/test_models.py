from nvrerank import MODELS


def test_every_model_is_listed_with_its_context(command):
    lines = command("models").stdout.splitlines()
    assert lines[0].split() == ["model", "context", "hosted", "use", "instead", "note"]
    assert [line.split()[:2] for line in lines[1:]] == [[model.id, str(model.context)] for model in MODELS]


def test_a_retired_model_is_listed_with_its_last_day_and_its_successor(command):
    (line,) = [line for line in command("models").stdout.splitlines() if "until" in line]
    assert line.split()[:5] == [
        "nvidia/llama-3.2-nv-rerankqa-1b-v2",
        "8192",
        "until",
        "2026-05-18",
        "nvidia/llama-nemotron-rerank-1b-v2",
    ]


def test_every_note_is_printed(command):
    printed = command("models").stdout
    assert [model.note for model in MODELS if model.note not in printed] == []


def test_no_command_at_all_shows_the_help(command):
    result = command()
    assert "rank" in result.output
    assert "models" in result.output
