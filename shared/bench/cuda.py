"""Local scoring on a GPU: how fast, beside the GPU's own products and beside sentence-transformers.

Models of true shape and depth with random weights, bfloat16, real tokenizers, Python's own documentation as
text. Every part prints its figures as it has them; one that fails prints its traceback, and the others go on.
"""

# ruff: noqa: B023  # what is defined in a loop is called at once

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.local.checkpoints import CHECKPOINTS, CheckpointSpec, _save_tokenizer, linear_flops
from bench.local.engines import mean_pooling
from bench.local.workloads import QUERIES, consecutive, documentation
from nvrerank import LocalScorer
from nvrerank.local.settings import BUNDLED

PAIR_TOKENS = 512
COUNTS = (20, 40, 100)
DOCUMENTS = (1_200, 2_400, 3_600, 4_600)  # words: about 2,000 to 8,000 tokens of Llama's
_ENCODERS: dict[str, dict[str, Any]] = {
    "minilm": {"model_type": "bert", "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6},
    "xlmr": {
        "model_type": "xlm-roberta",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
}
_HEADS = {"minilm": 12, "xlmr": 16}
_TINY = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
MODELS = ("llama", "xlmr", "minilm")  # Llama 1B with 16 layers, XLM-R large, MiniLM-L6


class Bench:
    """What the parts share.

    Args:
        options: The command line's.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.tiny: bool = options.tiny
        self.device = "cpu" if options.tiny else "cuda"
        self.tokenizers = options.tokenizers
        self.out = options.out
        self.rounds = 3 if options.tiny else options.rounds
        self.end = time.perf_counter() + options.seconds
        self.folder = Path(tempfile.mkdtemp(prefix="nvrerank-cuda-"))
        self.figures: dict[str, Any] = {"torch": torch.__version__}
        if not self.tiny:
            self.figures["device"] = torch.cuda.get_device_name()

    def keep(self, name: str, value: Any) -> None:
        """Prints a figure and writes all of them."""
        self.figures[name] = value
        print(f"{time.strftime('%X')}  {name}: {json.dumps(value)}", flush=True)
        self.out.write_text(json.dumps(self.figures, indent=1))

    def part(self, work: Callable[[], None]) -> None:
        """Does a part if there is time, whatever becomes of it."""
        if time.perf_counter() > self.end:
            print("out of time: the rest is left out", flush=True)
            return
        try:
            work()
        except Exception:  # noqa: BLE001  # the others go on
            traceback.print_exc()
        if not self.tiny:
            torch.cuda.empty_cache()

    def seconds(self, work: Callable[[], object]) -> float:
        """How long it takes, the device's work included."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        """Until the device has nothing left to do."""
        if not self.tiny:
            torch.cuda.synchronize()


def gemm_rate(bench: Bench, rows: int, inner: int, columns: int) -> float:
    """TFLOP/s of a product in bfloat16 on random data: the median of ten after three."""
    left = torch.randn(rows, inner, device=bench.device, dtype=torch.bfloat16)
    right = torch.randn(columns, inner, device=bench.device, dtype=torch.bfloat16)

    def several() -> None:
        for _ in range(4):
            torch.nn.functional.linear(left, right)

    taken = [bench.seconds(several) for _ in range(13)][3:]
    return 4 * 2 * rows * inner * columns / statistics.median(taken) / 1e12


def probe(bench: Bench) -> None:
    """The rate that shares are of: of a large square product, and in the shape of the 1B's widest layer."""
    size = 256 if bench.tiny else 8192
    bench.keep("GEMM TFLOP/s, 8192 cubed", round(gemm_rate(bench, size, size, size), 1))
    wide = (256, 64, 128) if bench.tiny else (16_384, 2048, 8192)
    bench.keep("GEMM TFLOP/s, 16384 x 2048 x 8192", round(gemm_rate(bench, *wide), 1))


def made(bench: Bench, name: str) -> tuple[Path, CheckpointSpec]:
    """A checkpoint's folder for both libraries, made on the device, and its sizes."""
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModelForSequenceClassification

    tokenizer = Tokenizer.from_file(str(bench.tokenizers / f"{name}.json"))
    vocabulary = -(-tokenizer.get_vocab_size() // 64) * 64
    if name == "llama":
        spec = CHECKPOINTS["llama"].of_depth(16)
    else:
        sizes = {"num_labels": 1, "num_attention_heads": _HEADS[name], "vocab_size": vocabulary}
        spec = CheckpointSpec({**sizes, **_ENCODERS[name]}, 512, "{query}", "{passage}")
    if bench.tiny:
        shared = {"num_key_value_heads": 2} if spec.is_decoder else {}
        spec = CheckpointSpec({**spec.config, **_TINY, **shared}, spec.max_length, spec.first, spec.second)
    folder = bench.folder / name
    torch.manual_seed(0)
    config = AutoConfig.for_model(**spec.config)
    with torch.device(bench.device):
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
        head = model.score if name == "llama" else model.classifier
        last = head.out_proj if name == "xlmr" else head
        torch.nn.init.normal_(last.weight, std=8 * spec.config["hidden_size"] ** -0.5)
    model.save_pretrained(folder)
    pad, cls = {"llama": ("<|end_of_text|>", ""), "minilm": ("[PAD]", "[CLS]"), "xlmr": ("<pad>", "<s>")}[
        name
    ]
    marks = {"pad_token": pad, **({"cls_token": cls} if cls else {})}
    kind = "BertTokenizer" if name == "minilm" else "PreTrainedTokenizerFast"
    _save_tokenizer(folder, tokenizer, tokenizer_class=kind, model_max_length=spec.max_length, **marks)
    return folder, spec


def loaded(bench: Bench, folder: Path, dtype: str = "bfloat16") -> LocalScorer:
    """Ours, by its public names."""
    return LocalScorer(folder, device=bench.device, dtype=dtype, long_passages="truncate").load()


def at_512_tokens(bench: Bench, name: str, scorer: LocalScorer, spec: CheckpointSpec, peak: float) -> None:
    """Pairs a second, tokenisation included, and the device's share of the probed rate."""
    count = 8 if bench.tiny else (200 if name == "llama" else 400)
    passages = consecutive([900] * count)
    short = LocalScorer(
        scorer.folder, device=bench.device, dtype="bfloat16", max_length=PAIR_TOKENS, long_passages="truncate"
    ).load()
    for _ in range(2):
        short.score(QUERIES[0], passages[: count // 4])
    pairs = short._part(QUERIES[0], passages).pairs  # noqa: SLF001  # to time the device alone
    model, never = short._loaded(), lambda: False  # noqa: SLF001
    whole = [bench.seconds(lambda: short.score(QUERIES[0], passages)) for _ in range(3)]
    alone = [bench.seconds(lambda: short._runner.run(model.forward, pairs, never)) for _ in range(3)]  # noqa: SLF001
    flops = linear_flops(spec, [len(pair.ids) for pair in pairs])
    bench.keep(
        f"{name}, {count} pairs of {len(pairs[0].ids)} tokens",
        {
            "pairs/s": round(count / statistics.median(whole), 1),
            "pairs/s, tokenised before": round(count / statistics.median(alone), 1),
            "TFLOP/s of linear parts": round(flops / statistics.median(alone) / 1e12, 1),
            "share of the probed rate": round(flops / statistics.median(alone) / 1e12 / peak, 3),
            "share, tokenisation included": round(flops / statistics.median(whole) / 1e12 / peak, 3),
        },
    )


def beside_sentence_transformers(bench: Bench, name: str, scorer: LocalScorer, spec: CheckpointSpec) -> None:
    """Real lengths: latencies of both in turn, the other at its default batch and at its best of a few."""
    from sentence_transformers import CrossEncoder

    mean_pooling.register()
    theirs = CrossEncoder(
        str(scorer.folder), device=bench.device, local_files_only=True, model_kwargs={"dtype": torch.bfloat16}
    )
    query = QUERIES[0]

    def pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
        first = spec.first.format(query=query)
        return [(first, spec.second.format(passage=text)) for text in texts]

    def predict(texts: Sequence[str], size: int) -> Any:
        return theirs.predict(
            pairs(texts), batch_size=size, show_progress_bar=False, activation_fn=torch.nn.Identity()
        )

    for count in COUNTS:
        texts = documentation(count, words=85)
        trial = {}
        for size in (16, 32, 64, 128):
            predict(texts, size)
            trial[size] = min(bench.seconds(lambda size=size: predict(texts, size)) for _ in range(2))  # type: ignore[misc]
        best = min(trial, key=trial.__getitem__)
        scorer.score(query, texts)
        taken: dict[str, list[float]] = {"ours": [], "default": [], "best": []}
        for _ in range(bench.rounds):
            taken["ours"].append(bench.seconds(lambda: scorer.score(query, texts)))
            taken["default"].append(bench.seconds(lambda: predict(texts, 32)))
            taken["best"].append(bench.seconds(lambda: predict(texts, best)))
        tokenising = bench.seconds(lambda: scorer._part(query, texts))  # noqa: SLF001
        median = {who: statistics.median(times) for who, times in taken.items()}
        bench.keep(
            f"{name}, {count} passages",
            {
                "tokens a pair": round(
                    statistics.median(len(pair.ids) for pair in scorer._part(query, texts).pairs)  # noqa: SLF001
                ),
                **{
                    f"{who}, ms (range)": [
                        round(1000 * one, 2) for one in (median[who], min(times), max(times))
                    ]
                    for who, times in taken.items()
                },
                "of ours tokenisation, ms": round(1000 * tokenising, 2),
                "best batch": best,
                "default / ours": round(median["default"] / median["ours"], 2),
                "best / ours": round(median["best"] / median["ours"], 2),
            },
        )
    with torch.inference_mode():
        ours = torch.tensor(scorer.score(query, texts))
        agreement = torch.corrcoef(torch.stack((ours, torch.tensor(predict(texts, best)).float())))[0, 1]
    bench.keep(f"{name}, correlation with sentence-transformers", round(float(agreement), 5))


def precision(bench: Bench, name: str, scorer: LocalScorer) -> None:
    """How bfloat16 ranks beside float32 at true shape."""
    from scipy.stats import spearmanr

    texts = documentation(40 if bench.tiny else 100, words=60)
    exact = loaded(bench, scorer.folder or Path(), "float32").score(QUERIES[1], texts)
    half = scorer.score(QUERIES[1], texts)
    found = {"Spearman": round(float(spearmanr(exact, half).statistic), 5), "different": len(set(half))}
    bench.keep(f"{name}, bfloat16 beside float32, {len(texts)} passages", found)


def long_documents(bench: Bench, scorer: LocalScorer, spec: CheckpointSpec, peak: float) -> None:
    """One document of each length at a time, then all at once."""
    lengths = [words // 8 for words in DOCUMENTS] if bench.tiny else DOCUMENTS
    texts = consecutive(lengths)
    for name, group in [
        *((f"{words} words", [text]) for words, text in zip(lengths, texts, strict=True)),
        ("all", texts),
    ]:
        tokens = [len(pair.ids) for pair in scorer._part(QUERIES[2], group).pairs]  # noqa: SLF001
        scorer.score(QUERIES[2], group)
        ask = partial(scorer.score, QUERIES[2], group)
        taken = statistics.median(bench.seconds(ask) for _ in range(3))
        rate = linear_flops(spec, tokens) / taken / 1e12
        found = {
            "tokens": sum(tokens),
            "ms": round(1000 * taken, 1),
            "share, linear parts": round(rate / peak, 3),
        }
        bench.keep(f"llama, document, {name}", found)


def profile(bench: Bench, name: str, scorer: LocalScorer) -> None:
    """Where the time of one call of 100 passages goes."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    texts = documentation(20 if bench.tiny else 100, words=85)
    kinds = [ProfilerActivity.CPU] + ([] if bench.tiny else [ProfilerActivity.CUDA])
    scorer.score(QUERIES[0], texts)
    with profiled(activities=kinds) as found:
        scorer.score(QUERIES[0], texts)
    key = "self_cpu_time_total" if bench.tiny else "self_cuda_time_total"
    table = found.key_averages().table(sort_by=key, row_limit=14, max_name_column_width=70)
    narrow = [line[:70] + line[-130:] if len(line) > 200 else line for line in table.splitlines()]
    print(f"profile of {name}:\n" + "\n".join(narrow), flush=True)
    (bench.out.parent / f"profile-{name}.txt").write_text(table)


def bundled(bench: Bench) -> None:
    """The bundled model, by its defaults."""
    scorer = LocalScorer(device=bench.device, long_passages="truncate").load()
    for count in COUNTS:
        texts = documentation(count, words=85)
        scorer.score(QUERIES[0], texts)
        taken = [bench.seconds(lambda: scorer.score(QUERIES[0], texts)) for _ in range(bench.rounds)]
        bench.keep(f"bundled, {count} passages, ms", round(1000 * statistics.median(taken), 2))


def main() -> None:
    """Runs all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    parser.add_argument("--tokenizers", type=Path, required=True, help="holds llama, xlmr and minilm .json")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes on the CPU, to try the script")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=105, help="after so many no other part is begun")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        raise SystemExit("needs a CUDA device")
    warnings.simplefilter("ignore")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    bench.part(lambda: probe(bench))
    peak = bench.figures.get("GEMM TFLOP/s, 8192 cubed", 1.0)
    later: list[Callable[[], None]] = []
    for name in options.models:

        def one(name: str = name) -> None:
            started = time.perf_counter()
            folder, spec = made(bench, name)
            scorer = loaded(bench, folder)
            bench.keep(f"{name}, seconds to make and load", round(time.perf_counter() - started, 1))
            bench.part(lambda: at_512_tokens(bench, name, scorer, spec, peak))
            bench.part(lambda: beside_sentence_transformers(bench, name, scorer, spec))
            if name == "llama":
                bench.part(lambda: long_documents(bench, scorer, spec, peak))
            bench.part(lambda: profile(bench, name, scorer))
            later.append(lambda: precision(bench, name, scorer))

        bench.part(one)
    if (BUNDLED / "model.safetensors").is_file():
        bench.part(lambda: bundled(bench))
    for work in later:
        bench.part(work)


if __name__ == "__main__":
    main()
