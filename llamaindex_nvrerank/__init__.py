"""NVIDIA's rerankers for LlamaIndex: a node postprocessor."""

from nvrerank import MissingExtraError

try:
    from .nodes import RerankedNode
    from .postprocessor import NVIDIARerank
except ModuleNotFoundError as error:
    raise MissingExtraError(f"{__name__} needs {error.name}: pip install 'nvrerank[llamaindex]'") from error

__all__ = ["NVIDIARerank", "RerankedNode"]
