"""create_app: a web application over any scorer, in the protocols that rerankers' clients speak."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware

import nvrerank
from nvrerank.scorer import Scorer
from nvrerank.show import table

from .guard import Guard
from .problems import invalid
from .schemas import CohereOrTei, CohereRequest, NimRequest, PageRequest, Question, RankingRequest
from .service import Service
from .settings import ServerSettings

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("page.html", "text/html"),
    "/page/page.css": ("page.css", "text/css"),
    "/page/page.js": ("page.js", "text/javascript"),
}
_LIVE, _READY = ("/v1/health/live",), ("/v1/health/ready", "/health")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(scorer: Scorer, settings: ServerSettings | None = None) -> FastAPI:
    """Makes an ASGI application that scores with `scorer`.

    It speaks a NIM's protocol (`POST /v1/ranking`), Cohere's (`/v1/rerank`, `/v2/rerank`, `/rerank`) and that
    of Text Embeddings Inference (`/rerank` with `texts`), and has a page for a person at `/`. The model is
    loaded when the application starts, or at the first request where it is mounted in another. No signal
    handler is installed and nothing is configured for the whole process: that is `serve`'s.

    Args:
        scorer: What scores; requests of all callers are packed for it.
        settings: How it behaves; None: the defaults, without a key.

    Returns:
        The application; `app.state.service.leaving = True` makes it say that it is not ready.
    """
    service = Service(scorer, settings or ServerSettings())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.scorer.start()
        yield
        service.scorer.close()

    app = FastAPI(
        title="nvrerank", version=nvrerank.__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.service = service
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    _add_ranking(app, service)
    _add_page(app, service)
    _add_facts(app, service)
    paths = {getattr(route, "path", "") for route in app.routes}
    app.add_middleware(Guard, service=service, routes=paths, unlocked={*_FILES, *_LIVE, *_READY})
    if service.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
        )
    return app


async def _refuse_invalid(_request: Request, error: Exception) -> NoReturn:
    raise invalid(error.errors() if isinstance(error, RequestValidationError) else []) from None


def _add_ranking(app: FastAPI, service: Service) -> None:
    async def ranked(body: RankingRequest, request: Request) -> JSONResponse:
        ranking = await service.rank(body.question(), request.receive)
        return JSONResponse(body.reply(ranking, service.names[0]))

    @app.post("/v1/ranking", response_model=None)
    async def nim(body: NimRequest, request: Request) -> JSONResponse:
        """Raw logits, best first, as a NIM gives them."""
        return await ranked(body, request)

    @app.post("/v1/rerank", response_model=None)
    @app.post("/v2/rerank", response_model=None)
    async def cohere(body: CohereRequest, request: Request) -> JSONResponse:
        """Relevance in 0..1, best first, as Cohere gives it; raw scores if asked for as vLLM is."""
        return await ranked(body, request)

    @app.post("/rerank", response_model=None)
    async def either(body: CohereOrTei, request: Request) -> JSONResponse:
        """Cohere's protocol with `documents`, that of Text Embeddings Inference with `texts`."""
        return await ranked(body, request)


def _add_page(app: FastAPI, service: Service) -> None:
    @app.post("/page/rank", include_in_schema=False)
    async def rank(body: PageRequest, request: Request) -> JSONResponse:
        question = Question(body.query, body.passages, "passages")
        ranking = await service.rank(question, request.receive)
        scores = [one.score for one in ranking]
        return JSONResponse({"table": table(ranking, rows=None, whole=True), "scores": scores})

    for path, (name, kind) in _FILES.items():
        app.get(path, include_in_schema=False)(_sends((_PAGE / name).read_bytes(), kind))


def _sends(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return Response(content, headers={"content-security-policy": _POLICY}, media_type=kind)

    return send


def _add_facts(app: FastAPI, service: Service) -> None:
    names = service.names

    def health(*, well: bool, word: str) -> JSONResponse:
        state = word if well else f"not {word}"
        body = {"object": "health.response", "message": f"Service is {state}.", "status": state}
        return JSONResponse(body, HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get(_LIVE[0])
    async def live() -> JSONResponse:
        return health(well=True, word="live")

    @app.get(_READY[0])
    @app.get(_READY[1], include_in_schema=False)
    async def ready() -> JSONResponse:
        return health(well=service.ready, word="ready")

    @app.get("/v1/models")
    async def models() -> JSONResponse:
        data = [{"id": name, "object": "model", "owned_by": "nvrerank", "root": names[0]} for name in names]
        return JSONResponse({"object": "list", "data": data})

    @app.get("/v1/metadata")
    async def metadata() -> JSONResponse:
        """A NIM's members, from which NVIDIA's operator takes `modelInfo[0].shortName`.

        The reranking NIM's pages name this route alone; the members are what
        docs.nvidia.com/nim/alpamayo/api-reference/metadata-v-1-metadata-get and other NIMs' pages require,
        save `licenseInfo`, which describes a file of NVIDIA's container.
        """
        model = {"modelUrl": names[0], "shortName": names[0].rpartition("/")[2]}
        none = {"assetInfo": [], "repository_override": "", "selectedModelProfileId": ""}
        return JSONResponse({"version": nvrerank.__version__, "modelInfo": [model], **none})

    @app.get("/info")
    async def info() -> JSONResponse:
        return JSONResponse(
            {"model_id": names[0], "version": nvrerank.__version__, "model_type": {"reranker": {}}}
        )

    @app.get("/v1/metrics")
    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=service.metrics.content_type)
