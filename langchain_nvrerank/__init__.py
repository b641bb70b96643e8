"""NVIDIA's rerankers for LangChain: a document compressor, a runnable and a retriever."""

from nvrerank import MissingExtraError

try:
    from .compressor import NVIDIARerank
    from .retriever import RerankRetriever
except ModuleNotFoundError as error:
    raise MissingExtraError(f"{__name__} needs {error.name}: pip install 'nvrerank[langchain]'") from error

__all__ = ["NVIDIARerank", "RerankRetriever"]
