"""On a GPU the scores are the CPU's, whatever the batch, the order, the memory and the threads."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from local.test_yes_no_rerankers import RERANKERS
from local.test_yes_no_rerankers import save as save_yes_no
from scipy.stats import pearsonr, spearmanr
from support import reference
from support.checkpoints import decoder_config, decoder_tensors, mistral_config, write_checkpoint
from support.checkpoints import write_cross_encoder as write_encoder
from support.families import FAMILIES, save_tiny
from support.forks import in_child
from support.tokenizers import WORDS as LINES
from support.tokenizers import llama_tokenizer, roberta_tokenizer

from nvrerank import LocalScorer, ModelLoadError, RequestRejectedError
from nvrerank.local.bundled.network import TwoSegmentConfig, TwoSegmentEncoder
from nvrerank.local.bundled.packed_weights import stored
from nvrerank.local.layers import Packing, attend, attend_in_turn
from nvrerank.local.settings import BUNDLED

DEVICE = "cuda"
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*is scored without a prompt:UserWarning"),
    pytest.mark.filterwarnings(
        "ignore:`torch.jit.*is deprecated:DeprecationWarning"
    ),  # transformers' DeBERTa
]

QUERY = "how do I make a class iterable?"
WORDS = [word for line in LINES for word in line.split()]
PASSAGES = [
    " ".join(random.Random(number).choices(WORDS, k=1 + number % 17)) + f" {number}" for number in range(48)
]


def decoder(folder: Path, config: dict, labels: int = 1) -> Path:
    return write_checkpoint(folder, config, decoder_tensors(config, labels=labels))


def two_segments(folder: Path) -> Path:
    """The bundled model's architecture, tiny, with random weights and every term at work."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}
    config = TwoSegmentConfig(vocab_size=400, max_position_embeddings=128, first_crossing_layer=1, **sizes)
    model = TwoSegmentEncoder(config)
    for name, tensor in model.named_parameters():
        tensor.data = torch.ones_like(tensor) if "norm.weight" in name else torch.randn_like(tensor) * 0.2
    model.idf.copy_(torch.rand(config.vocab_size) * 5)
    values = {"model_type": "nvrerank_two_segment", **config.__dict__}
    tensors = {name: one.contiguous() for name, one in stored(model.state_dict()).items()}
    return write_checkpoint(folder, values, tensors, roberta_tokenizer())


Maker = Callable[[Path], Path]
OURS: dict[str, Maker] = {
    "llama": lambda folder: decoder(folder, decoder_config()),
    "llama, two labels": lambda folder: decoder(folder, decoder_config(temperature=0.5), labels=2),
    "llama, causal": lambda folder: decoder(folder, decoder_config(is_causal=True)),
    "mistral": lambda folder: decoder(folder, mistral_config()),
    "no multiple of 8 in a head": lambda folder: decoder(folder, decoder_config(head_dim=12)),
    "bert": lambda folder: write_encoder(folder, "bert"),
    "xlm-roberta": lambda folder: write_encoder(folder, "xlm-roberta"),
    "two segments": two_segments,
}
MAKERS: dict[str, Maker] = {
    **OURS,
    **{f"{kind}, tiny": lambda folder, kind=kind: save_tiny(folder, kind) for kind in FAMILIES},
    **{name: lambda folder, name=name: save_yes_no(folder / name, RERANKERS[name][0]) for name in RERANKERS},
}
FLOAT32_ALONE = ["deberta, tiny", "xlnet, tiny"]  # transformers' classes mix types


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Each family's checkpoint, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = MAKERS[name](tmp_path_factory.mktemp("model"))
        return made[name]

    return folder


@pytest.fixture
def llama(folders):
    return folders("llama")


def one_at_a_time(folder: Path | None, query: str = QUERY, passages=PASSAGES) -> list[float]:
    """The CPU's scores in float32, which other tests hold against float64."""
    scorer = LocalScorer(folder, device="cpu", dtype="float32", batch_tokens=1)
    return [score for passage in passages for score in scorer.score(query, [passage])]


def close(expected: list[float], tolerance: float):
    return pytest.approx(expected, abs=tolerance * max(1.0, max(expected) - min(expected)))


def oracle(config, tensors, passages) -> list[float]:
    """The formulas in float64."""
    texts = [f"question:{QUERY} \n \n passage:{passage}" for passage in passages]
    return [reference.score(llama_tokenizer().encode(text).ids, config, tensors) for text in texts]


@pytest.mark.parametrize("name", MAKERS)
def test_float32_scores_equal_the_cpus_of_one_pair_at_a_time(folders, name):
    expected = one_at_a_time(folders(name))
    with torch.backends.cudnn.flags(allow_tf32=False):  # convolutions would round to TF32
        found = LocalScorer(folders(name), device=DEVICE, dtype="float32").score(QUERY, PASSAGES)
    assert found == close(expected, 1e-4)
    assert max(expected) - min(expected) > 1e-2, "scores this close would agree by chance"


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in FLOAT32_ALONE])
def test_bfloat16_ranks_as_float32_and_ties_nothing(folders, name):
    exact = LocalScorer(folders(name), device=DEVICE, dtype="float32").score(QUERY, PASSAGES)
    scorer = LocalScorer(folders(name), device=DEVICE)
    half = scorer.score(QUERY, PASSAGES)
    assert scorer.identity["dtype"] == "torch.bfloat16"
    assert pearsonr(exact, half).statistic > (0.999 if name in OURS else 0.99)
    assert spearmanr(exact, half).statistic > 0.99  # of tiny random models: of true sizes it is above 0.999
    assert len(set(half)) == len(set(exact)) == len(PASSAGES)


@pytest.mark.parametrize("name", FLOAT32_ALONE)
def test_what_is_computed_in_float32_alone_says_so(folders, name):
    with pytest.raises(ModelLoadError, match=r"can't be computed in torch\.bfloat16: give dtype='float32'"):
        LocalScorer(folders(name), device=DEVICE).load()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", OURS)
def test_scores_depend_on_neither_order_nor_batch(folders, name, dtype):
    tolerance = 2e-2
    scorer = LocalScorer(folders(name), device=DEVICE, dtype=dtype)
    together = scorer.score(QUERY, PASSAGES)
    order = random.Random(0).sample(range(len(PASSAGES)), len(PASSAGES))
    assert scorer.score(QUERY, [PASSAGES[place] for place in order]) == close(
        [together[place] for place in order], tolerance
    )
    small = LocalScorer(folders(name), device=DEVICE, dtype=dtype, batch_tokens=100)
    assert small.score(QUERY, PASSAGES) == close(together, tolerance)
    assert [scorer.score(QUERY, [one])[0] for one in PASSAGES[:9]] == pytest.approx(
        together[:9], abs=tolerance * (max(together) - min(together))
    )


def test_scores_equal_a_float64_reference_and_a_control_does_not(tmp_path):
    config = decoder_config()
    tensors = decoder_tensors(config)
    expected = oracle(config, tensors, PASSAGES[:12])
    folder = write_checkpoint(tmp_path / "right", config, tensors)
    scores = LocalScorer(folder, device=DEVICE, dtype="float32").score(QUERY, PASSAGES[:12])
    assert scores == pytest.approx(expected, abs=1e-4)
    tensors["model.layers.1.self_attn.v_proj.weight"][0] += 0.02
    folder = write_checkpoint(tmp_path / "wrong", config, tensors)
    wrong = LocalScorer(folder, device=DEVICE, dtype="float32").score(QUERY, PASSAGES[:12])
    assert wrong != pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("key_heads", [8, 2])
@pytest.mark.parametrize("size", [8, 26, 64, 128])
def test_packed_attention_equals_one_sequence_after_the_other(size, key_heads, causal):
    torch.manual_seed(0)
    packing = Packing([5, 1, 300, 64], torch.device(DEVICE), causal)
    query, key, value = (torch.randn(370, heads, size, device=DEVICE) for heads in (8, key_heads, key_heads))
    exact = attend_in_turn(query, key, value, packing)
    half = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), packing)
    torch.testing.assert_close(half.float(), exact, atol=3e-2, rtol=0)
    other = Packing([300, 5, 1, 64], torch.device(DEVICE), causal)
    leaked = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), other)
    assert (leaked.float() - exact).abs().max() > 0.3, "a packing that leaks would be noticed"
    if not causal:
        first = attend(
            query.bfloat16()[packing.first_tokens],
            key.bfloat16(),
            value.bfloat16(),
            packing,
            asking=packing.firsts,
        )
        torch.testing.assert_close(first.float(), exact[packing.first_tokens], atol=3e-2, rtol=0)


def test_means_are_each_sequences_own():
    hidden = torch.randn(370, 16, generator=torch.Generator().manual_seed(0))
    there, here = (Packing([5, 1, 300, 64], torch.device(name)) for name in (DEVICE, "cpu"))
    torch.testing.assert_close(there.means(hidden.to(DEVICE)).cpu(), here.means(hidden))


@pytest.fixture
def memory():
    """Sets how many bytes more this process may take of the GPU; gives it all back."""

    def allow(more: int) -> None:
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)

    yield allow
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.fixture(scope="session")
def wide(tmp_path_factory):
    """A model whose batches take memory: 16 KiB a token in each of three tensors."""
    sizes = {"hidden_size": 64, "intermediate_size": 4096, "num_hidden_layers": 1}
    config = decoder_config(**sizes, max_position_embeddings=16_384)
    return write_checkpoint(tmp_path_factory.mktemp("wide"), config, decoder_tensors(config))


def test_out_of_memory_halves_the_batch_and_scores_the_same(wide, memory):
    scorer = LocalScorer(wide, device=DEVICE, dtype="float32", batch_tokens=16_384)
    passages = [f"{text} {number}" for number in range(12) for text in PASSAGES]
    expected = scorer.score(QUERY, passages)
    assert scorer._runner.budget == 16_384
    memory(400 << 20)
    assert scorer.score(QUERY, passages) == pytest.approx(expected, abs=1e-4)
    assert scorer._runner.budget < 16_384, "the memory must have run out for the test to mean anything"


def test_one_pair_that_does_not_fit_is_an_error_with_its_index_and_the_scorer_goes_on(wide, memory):
    scorer = LocalScorer(wide, device=DEVICE, dtype="float32", long_passages="truncate")
    expected = scorer.score(QUERY, PASSAGES)
    memory(100 << 20)
    with pytest.raises(
        RequestRejectedError, match=r"passages\[1\]: \d+ tokens do not fit into memory"
    ) as caught:
        scorer.score(QUERY, ["rust", "the sea " * 4000])
    assert caught.value.index == 1
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(expected, abs=1e-4)


def test_threads_and_event_loops_share_one_scorer(llama):
    scorer = LocalScorer(llama, device=DEVICE, dtype="float32", batch_tokens=300)
    queries = [f"{QUERY} {number}" for number in range(4)]
    alone = [scorer.score(query, PASSAGES) for query in queries]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda query: scorer.score(query, PASSAGES), queries))

    async def at_once():
        return await asyncio.gather(*(scorer.ascore(query, PASSAGES) for query in queries))

    for scores, expected in zip([*found, *asyncio.run(at_once())], [*alone, *alone], strict=True):
        assert scores == pytest.approx(expected, abs=1e-4)


def test_a_cancelled_call_leaves_the_scorer_usable(llama):
    scorer = LocalScorer(llama, device=DEVICE, dtype="float32", batch_tokens=60)
    expected = scorer.score(QUERY, PASSAGES)

    async def half_of_them():
        calls = [asyncio.ensure_future(scorer.ascore(QUERY, PASSAGES * 8)) for _ in range(4)]
        await asyncio.sleep(0.01)
        for call in calls[::2]:
            call.cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(half_of_them())
    stopped, whole = answers[::2], answers[1::2]
    assert all(isinstance(one, asyncio.CancelledError) for one in stopped)
    assert all(one == pytest.approx(expected * 8, abs=1e-4) for one in whole)
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(expected, abs=1e-4)


def test_a_device_with_a_number_and_a_pickle_give_the_same_scores(llama):
    scorer = LocalScorer(llama, device=f"{DEVICE}:0", dtype="float32")
    expected = scorer.score(QUERY, PASSAGES)
    again = pickle.loads(pickle.dumps(scorer))
    assert f"device='{DEVICE}:0'" in repr(again)
    assert again.score(QUERY, PASSAGES) == pytest.approx(expected, abs=1e-4)
    assert LocalScorer(llama, dtype="float32").score(QUERY, PASSAGES) == pytest.approx(expected, abs=1e-4)


def test_a_forked_process_is_told_that_it_has_no_gpu(llama):
    scorer = LocalScorer(llama, device=DEVICE, dtype="float32")
    expected = scorer.score(QUERY, PASSAGES)
    with pytest.raises(AssertionError, match=r"CUDA in forked subprocess|initialization error"):
        in_child(lambda: scorer.score(QUERY, PASSAGES))
    with pytest.raises(
        AssertionError, match=r"device 'cuda' can't be used on this machine: .* forked subprocess"
    ):
        in_child(lambda: LocalScorer(llama, device=DEVICE))
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(expected, abs=1e-4)


@pytest.mark.skipif(not (BUNDLED / "model.safetensors").is_file(), reason="the bundled weights are not here")
def test_the_bundled_model_scores_as_on_a_cpu():
    passages = [
        f"Ada mended the {place} in {year}." for place in ("roof", "boat") for year in range(1950, 1970)
    ]
    expected = one_at_a_time(None, "who mended the roof?", passages)
    exact = LocalScorer(device=DEVICE, dtype="float32").score("who mended the roof?", passages)
    half = LocalScorer(device=DEVICE).score("who mended the roof?", passages)
    assert exact == pytest.approx(expected, abs=1e-4)
    assert spearmanr(expected, half).statistic > 0.99
    assert len(set(half)) == len(passages)
