"""Whatever the classes that ours replace have in public, ours has too, or here is why not."""

import inspect
import pydoc
import re

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CohereRerank, CrossEncoderReranker
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.retrievers import BaseRetriever
from llama_index.core.postprocessor import SentenceTransformerRerank
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from official.test_parity import THEIRS

import langchain_nvrerank
import llamaindex_nvrerank
from nvrerank.adapter_fields import RerankFields

LANGCHAIN, LLAMAINDEX = langchain_nvrerank.NVIDIARerank, llamaindex_nvrerank.NVIDIARerank
RETRIEVER = langchain_nvrerank.RerankRetriever
PAIRS = [
    (LANGCHAIN, THEIRS["langchain"]),
    (LANGCHAIN, BaseDocumentCompressor),
    (LANGCHAIN, CrossEncoderReranker),
    (LANGCHAIN, CohereRerank),
    (RETRIEVER, ContextualCompressionRetriever),
    (RETRIEVER, BaseRetriever),
    (LLAMAINDEX, THEIRS["llamaindex"]),
    (LLAMAINDEX, BaseNodePostprocessor),
    (LLAMAINDEX, SentenceTransformerRerank),
]
WHY_NOT = {
    "client": "the connections are the scorer's: timeout=, verify=, scorer=",
    "normalized_base_url": "the endpoint is the scorer's",
    "cohere_api_key": "Cohere's; ours is api_key",
    "user_agent": "Cohere's",
    "validate_environment": "a validator that pydantic calls",
    "rerank(model)": "the scorer's",
    "rerank(max_chunks_per_doc)": "the scorer's: long_passages=",
    "device": "the scorer's: scorer=LocalScorer(device=...)",
    "trust_remote_code": "no remote code, ever",
}
TAKEN_BY_THE_CONSTRUCTOR = {  # under other names, which are not attributes
    "extra_headers": ({"model": "m", "base_url": "http://127.0.0.1:1/v1"}, {"x": "y"}),
    "usage_telemetry_enabled": ({"model": "m", "base_url": "http://127.0.0.1:1/v1"}, False),
    "base_compressor": ({"base_retriever": RETRIEVER.model_construct()}, LANGCHAIN.model_construct()),
}


def lacking(ours: type, theirs: type) -> list[str]:
    """Names of theirs, and "method(parameter)", that ours lacks."""
    names = {name for name in (*dir(theirs), *theirs.model_fields) if not name.startswith("_")}
    missing = [name for name in names if not hasattr(ours, name) and name not in ours.model_fields]
    hooks = [name for name in vars(theirs) if name.startswith("_") and not name.startswith("__")]
    for name in (*names.difference(missing), *hooks):
        method, mine = inspect.getattr_static(theirs, name, None), getattr(ours, name, None)
        if inspect.isfunction(method) and mine is not None:
            taken = inspect.signature(mine).parameters
            missing += [f"{name}({one.name})" for one in _parameters(method) if not _takes(taken, one)]
    return missing


def _parameters(method):
    return [one for one in inspect.signature(method).parameters.values() if one.name != "self"]


def _takes(taken, one):
    if one.kind is one.VAR_KEYWORD:
        return any(mine.kind is one.kind for mine in taken.values())
    return one.name in taken or any(mine.kind is one.VAR_KEYWORD for mine in taken.values())


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_nothing_is_lacking_without_a_reason(ours, theirs):
    assert set(lacking(ours, theirs)) - set(WHY_NOT) - set(TAKEN_BY_THE_CONSTRUCTOR) == set()


@pytest.mark.parametrize("name", TAKEN_BY_THE_CONSTRUCTOR)
def test_what_the_constructor_is_said_to_take_it_takes(name):
    options, value = TAKEN_BY_THE_CONSTRUCTOR[name]
    made = (RETRIEVER if name == "base_compressor" else LANGCHAIN)(**options, **{name: value})
    assert isinstance(made, RETRIEVER | LANGCHAIN)
    if isinstance(made, LANGCHAIN):
        made.close()


@pytest.mark.parametrize("theirs", {theirs for _, theirs in PAIRS})
def test_every_argument_of_theirs_is_taken_or_has_a_reason(theirs):
    ours = next(mine for mine, other in PAIRS if other is theirs)
    parameters = inspect.signature(theirs.__init__).parameters.values()
    names = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    known = {*ours.model_fields, *inspect.signature(ours.__init__).parameters}
    assert names - known - set(WHY_NOT) - set(TAKEN_BY_THE_CONSTRUCTOR) == set()


def test_the_walk_finds_what_is_missing():
    class Narrow(BaseDocumentCompressor):
        def compress_documents(self, documents, query):
            return documents

    assert lacking(Narrow, BaseDocumentCompressor) == ["compress_documents(callbacks)"]
    assert "available_models" in lacking(Narrow, THEIRS["langchain"])


def arguments(kind: type) -> dict[str, str]:
    """The arguments in a class's docstring, as they are written there."""
    section = inspect.getdoc(kind).split("Attributes:\n")[1].split("\n\n")[0]
    return dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE))


@pytest.mark.parametrize("ours", [LANGCHAIN, LLAMAINDEX])
def test_every_argument_is_in_the_docstring_that_help_shows(ours):
    assert set(arguments(ours)) == set(ours.model_fields)
    for name, told in arguments(ours).items():
        assert f"{name}: {told.splitlines()[0]}" in pydoc.plain(pydoc.render_doc(ours))


def test_what_both_adapters_take_both_document_in_the_same_words():
    langchain, llamaindex = arguments(LANGCHAIN), arguments(LLAMAINDEX)
    common = langchain.keys() & llamaindex.keys()
    assert common == RerankFields.model_fields.keys()
    assert {name: langchain[name] for name in common} == {name: llamaindex[name] for name in common}


@pytest.mark.parametrize("ours", [LANGCHAIN, LLAMAINDEX])
def test_an_argument_of_a_users_own_class_is_documented_after_ours(ours):
    class Owned(ours):
        """Ours with an owner.

        Attributes:
            owner: Whose it is.
        """

        owner: str = ""

    class Plain(ours):
        """Ours."""

    assert list(arguments(Owned)) == [*arguments(RerankFields), "owner"]
    assert inspect.getdoc(Plain) == "Ours."


def test_every_other_name_that_is_taken_is_in_the_docstring():
    for ours in (LANGCHAIN, LLAMAINDEX):
        for name in ("nvidia_api_key", "extra_headers", "verify_ssl"):
            assert f"`{name}` is the same" in inspect.getdoc(ours)
