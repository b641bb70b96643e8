"""What the three protocols carry, checked at the door, and what goes back. Pure.

A NIM's is as strict as NVIDIA's. Of Cohere's and TEI's, what servers of that kind know is accepted; of that,
what does not bear on the scores is ignored.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from nvrerank.images import Passage, is_data_url
from nvrerank.ranking import ScoreMode
from nvrerank.results import Ranking
from nvrerank.texts import encodable, is_blank

from .settings import MAX_PASSAGES

_LONGEST_TEXT = 14_598_366  # characters: a NIM's own bound


def _not_blank(text: str) -> str:
    if is_blank(text):
        raise ValueError("it is blank: there is nothing to score")
    return text


def _mended(text: object) -> object:
    """Lone surrogates, as a browser sends half an emoji, become U+FFFD: `rerank` does the same."""
    return encodable(text) if isinstance(text, str) else text


def _text_of(document: object) -> object:
    """Cohere's version 1 and Jina let a document be `{"text": ...}`."""
    return document["text"] if isinstance(document, dict) and document.keys() == {"text"} else document


Mended = Annotated[str, Field(max_length=_LONGEST_TEXT), BeforeValidator(_mended)]
Text = Annotated[Mended, Field(min_length=1), AfterValidator(_not_blank)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_PASSAGES)]
ModelName = Annotated[str, Field(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Question:
    """What a request comes down to, in whatever protocol.

    Attributes:
        query: The query.
        passages: The passages.
        field: What the protocol calls them.
        model: What the request calls the model; None: nothing.
        score_mode: What the scores are to be.
        top_n: At most so many results; None: all.
        cut: Whether a passage that is too long may be cut.
        instruction: What the model is told of its task; None: nothing.
    """

    query: str
    passages: Sequence[str]
    field: str
    model: str | None = None
    score_mode: ScoreMode = "logit"
    top_n: int | None = None
    cut: bool = True
    instruction: str | None = None


class RankingRequest(BaseModel, ABC):
    """A request of one protocol, and its answer."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    @abstractmethod
    def question(self) -> Question:
        """What is asked."""

    @abstractmethod
    def reply(self, ranking: Ranking, model: str) -> Any:
        """The answer's JSON, best first; `model` is what the server calls it."""


class NimText(BaseModel):
    """A text of a NIM's request."""

    model_config = RankingRequest.model_config
    text: Text


def _as_passage(image: str) -> str:
    """Only what a data URL holds: a path or an address would be of this machine's."""
    if not is_data_url(image):
        raise ValueError("it must be a data URL in base64")
    return Passage(image=image)


class NimPassage(BaseModel):
    """A passage of a NIM's request: a text, an image, or both."""

    model_config = RankingRequest.model_config
    text: Text | None = None
    image: Annotated[str, AfterValidator(_as_passage)] | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.text is None and self.image is None:
            raise ValueError("it needs a text or an image")
        return self


def _joined(passage: NimPassage) -> str:
    if not isinstance(passage.image, Passage):
        return passage.text or ""
    return Passage(passage.text, passage.image.image)


def _document(document: object, handler: ValidatorFunctionWrapHandler) -> object:
    """A document may be vLLM's list of contents, whose order says nothing: its templates put images first."""
    if not isinstance(document, dict) or document.keys() != {"content"}:
        return handler(document)
    found: dict[str, object] = {}
    for part in document["content"] if isinstance(document["content"], list) else [None]:
        match part:
            case {"type": "text", "text": text} if "text" not in found:
                found["text"] = text
            case {"type": "image_url", "image_url": {"url": url}} if "image" not in found:
                found["image"] = url
            case _:
                raise ValueError("content must be a list of at most one text and one image_url")
    return _joined(NimPassage.model_validate(found))


Documents = Annotated[
    list[Annotated[Text, BeforeValidator(_text_of), WrapValidator(_document)]],
    Field(min_length=1, max_length=MAX_PASSAGES),
]


class NimRequest(RankingRequest):
    """A NIM's `POST /v1/ranking`."""

    model: ModelName
    query: NimText
    passages: Annotated[list[NimPassage], Field(min_length=1, max_length=MAX_PASSAGES)]
    truncate: Literal["NONE", "END"] = "NONE"

    def question(self) -> Question:
        """As promised by `RankingRequest`."""
        passages = [_joined(passage) for passage in self.passages]
        return Question(self.query.text, passages, "passages", self.model, cut=self.truncate == "END")

    def reply(self, ranking: Ranking, model: str) -> Any:  # noqa: ARG002  # a NIM does not name it
        """Raw logits."""
        return {"rankings": [{"index": one.index, "logit": one.score} for one in ranking]}


class CohereRequest(RankingRequest):
    """Cohere's `POST /v1/rerank` and `/v2/rerank`, with what vLLM, Jina and infinity add."""

    query: Text
    documents: Documents
    model: ModelName | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = False
    rank_fields: list[Literal["text"]] | None = None
    use_activation: bool | None = None  # vLLM; False asks for logits
    activation: bool | None = None  # vLLM 0.9 and 0.10
    raw_scores: bool | None = False  # infinity; True asks for them
    instruction: Text | None = None  # vLLM
    instruct: Text | None = None  # SGLang
    max_chunks_per_doc: int | None = None  # from here on: ignored
    max_tokens_per_doc: int | None = None
    priority: int | None = None
    truncate_prompt_tokens: int | None = None
    user: str | None = None

    def question(self) -> Question:
        """As promised by `RankingRequest`."""
        raw = self.use_activation is False or self.activation is False or bool(self.raw_scores)
        mode: ScoreMode = "logit" if raw else "sigmoid"
        told = self.instruction or self.instruct
        return Question(
            *(self.query, self.documents, "documents", self.model, mode, self.top_n), instruction=told
        )

    def reply(self, ranking: Ranking, model: str) -> Any:
        """Relevance scores in 0..1, unless raw ones were asked for."""
        results: list[dict[str, Any]] = [
            {"index": one.index, "relevance_score": one.score} for one in ranking
        ]
        if self.return_documents:
            for result in results:
                result["document"] = {"text": self.documents[result["index"]]}
        return {"id": str(uuid.uuid4()), "model": model, "results": results, "meta": _META}


_META = {"api_version": {"version": "2"}}


class TeiRequest(RankingRequest):
    """The `POST /rerank` of Text Embeddings Inference."""

    query: Text
    texts: Texts
    top_n: Annotated[int, Field(ge=1)] | None = None  # not TEI's own; LiteLLM sends it
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = None
    truncation_direction: Literal["Right", "right"] = "Right"

    def question(self) -> Question:
        """As promised by `RankingRequest`; unless told, it cuts, as TEI does by default."""
        mode: ScoreMode = "logit" if self.raw_scores else "sigmoid"
        cut = self.truncate is not False
        return Question(self.query, self.texts, "texts", score_mode=mode, top_n=self.top_n, cut=cut)

    def reply(self, ranking: Ranking, model: str) -> Any:  # noqa: ARG002  # TEI does not name it
        """A bare list."""
        texts = self.texts if self.return_text else None
        return [
            {"index": one.index, "score": one.score} | ({"text": texts[one.index]} if texts else {})
            for one in ranking
        ]


def _kind(body: object) -> str:
    return "tei" if isinstance(body, TeiRequest) or (isinstance(body, dict) and "texts" in body) else "cohere"


CohereOrTei = Annotated[
    Annotated[TeiRequest, Tag("tei")] | Annotated[CohereRequest, Tag("cohere")], Discriminator(_kind)
]
"""`POST /rerank`, where both are spoken."""


class PageRequest(BaseModel):
    """What the page for a person sends; blank passages rank last there, as `rerank` has it."""

    model_config = RankingRequest.model_config
    query: Text
    passages: Annotated[list[Mended], Field(min_length=1, max_length=MAX_PASSAGES)]
