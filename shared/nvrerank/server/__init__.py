"""A server over any scorer, for one machine: `nvrerank serve`, or `create_app` inside another application."""

from nvrerank.errors import MissingExtraError

try:
    import fastapi as _fastapi  # noqa: F401
    import prometheus_client as _prometheus  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f"serving needs {error.name}: pip install 'nvrerank[serve]'") from error

from .app import create_app
from .serving import serve
from .settings import ServerSettings

__all__ = ["ServerSettings", "create_app", "serve"]
