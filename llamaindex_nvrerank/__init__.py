"""NVIDIA's rerankers for LlamaIndex: a node postprocessor and a selector."""

from nvrerank import MissingExtraError

try:
    from .nodes import RerankedNode
    from .postprocessor import NVIDIARerank
    from .selector import RerankSelector
except ModuleNotFoundError as error:
    raise MissingExtraError(f"{__name__} needs {error.name}: pip install 'nvrerank[llamaindex]'") from error

__all__ = ["NVIDIARerank", "RerankSelector", "RerankedNode"]
