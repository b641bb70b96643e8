"""NVIDIA's rerankers for LangChain: a document compressor, a runnable, a retriever, an agent's middleware."""

from typing import TYPE_CHECKING

from nvrerank import MissingExtraError

try:
    from .compressor import NVIDIARerank
    from .cross_encoder import RerankCrossEncoder
    from .retriever import RerankRetriever
except ModuleNotFoundError as error:
    raise MissingExtraError(f"{__name__} needs {error.name}: pip install 'nvrerank[langchain]'") from error

if TYPE_CHECKING:
    from .middleware import RerankMiddleware

__all__ = ["NVIDIARerank", "RerankCrossEncoder", "RerankMiddleware", "RerankRetriever"]


def __getattr__(name: str) -> object:
    if name != "RerankMiddleware":  # it alone needs more of LangChain than its core
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .middleware import RerankMiddleware
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{name} needs langchain: pip install 'nvrerank[langchain-agents]'"
        ) from error
    return RerankMiddleware
