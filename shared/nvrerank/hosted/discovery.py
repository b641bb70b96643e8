"""What a server says of itself: its models, the one to name, and whether it is ready."""

from __future__ import annotations

from http import HTTPStatus

from nvrerank import models
from nvrerank.errors import RequestRejectedError
from nvrerank.truncation import warn_caller

from .client import Client
from .deadline import Deadline
from .retry import ApiRequest, Attempt, Failure, Outcome
from .settings import HostedSettings
from .transport import LATE


class Discovery:
    """The model that requests name: the one that was given, or the first that the server lists.

    Args:
        settings: The scorer's.

    Attributes:
        model: Its name; None: not known yet, or not needed.
        needed: Whether requests name a model, and it is not known yet.
    """

    def __init__(self, settings: HostedSettings) -> None:
        self.model = settings.model
        self._endpoint = endpoint = settings.endpoint
        self.needed = self.model is None and endpoint.protocol.needs_model
        self._timeout = settings.timeout
        self._request = ApiRequest(endpoint.models, endpoint.protocol.read_models)

    def find(self, client: Client, deadline: Deadline) -> str:
        """The model, asked for once, by one caller."""
        if not client.discovering.acquire(deadline):
            raise client.error(LATE)
        try:
            return self.model or self._choose(client.ask(self._request, deadline))
        finally:
            client.discovering.release()

    async def afind(self, client: Client, deadline: Deadline) -> str:
        """As `find`, in a task."""
        if not await client.discovering.aacquire(deadline):
            raise client.error(LATE)
        try:
            return self.model or self._choose(await client.aask(self._request, deadline))
        finally:
            client.discovering.release()

    def models(self, client: Client) -> list[str]:
        """All that are served; of NVIDIA's host those we know."""
        return self._hosted() or client.ask(self._request, Deadline(self._timeout))

    async def amodels(self, client: Client) -> list[str]:
        """As `models`, in a task."""
        return self._hosted() or await client.aask(self._request, Deadline(self._timeout))

    def ready(self, client: Client) -> bool:
        """Whether the server says that it is ready."""
        return _is_ready(client, client.send(self._health(), Deadline(self._timeout)))

    async def aready(self, client: Client) -> bool:
        """As `ready`, in a task."""
        return _is_ready(client, await client.asend(self._health(), Deadline(self._timeout)))

    def _choose(self, served: list[str]) -> str:
        host = self._endpoint.host
        if not served:
            raise RequestRejectedError(f"{host} lists no model: name one, model=...")
        self.model = served[0]
        self.needed = False
        warn_caller(f"no model was named: using {served[0]!r:.200}, which {host} lists first", UserWarning)
        return served[0]

    def _hosted(self) -> list[str]:
        if not self._endpoint.nvidia:
            return []
        return [model.id for model in models.MODELS if model.hosted and not model.retired]

    def _health(self) -> Attempt:
        if self._endpoint.nvidia:
            raise ValueError(
                "NVIDIA's hosted API does not tell its health: ready() is for a server of your own"
            )
        return Attempt(self._endpoint.health)


def _is_ready(client: Client, outcome: Outcome) -> bool:
    if isinstance(outcome, Failure):
        if outcome.kind == "tls":
            raise client.error(outcome)
        return False
    return outcome.status == HTTPStatus.OK
