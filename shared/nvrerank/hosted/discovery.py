"""What a server says of itself: its models, the one to name, and whether it is ready."""

from __future__ import annotations

from http import HTTPStatus

from nvrerank import models
from nvrerank.errors import RequestRejectedError
from nvrerank.truncation import warn_caller

from .client import Client
from .deadline import Deadline
from .retry import ApiRequest, Attempt, Failure, Outcome, Reply
from .settings import HostedSettings
from .transport import LATE


class Discovery:
    """The model that requests name: the one that was given, or the first that the server lists.

    Args:
        settings: The scorer's.

    Attributes:
        model: Its name; None: not known yet, or not needed.
        listwise: Whether its name says that it scores a passage by the others of its list.
        needed: Whether requests name a model, and it is not known yet.
        request: What asks a server for its models.
    """

    def __init__(self, settings: HostedSettings) -> None:
        self.model = settings.model
        self.listwise = models.is_listwise(settings.model or "")
        self._endpoint = endpoint = settings.endpoint
        self.needed = self.model is None and endpoint.protocol.needs_model
        self.request = ApiRequest(endpoint.models, endpoint.protocol.read_models)

    def find(self, client: Client, deadline: Deadline) -> str:
        """The model, asked for once, by one caller."""
        if not client.discovering.acquire(deadline):
            raise client.error(LATE)
        try:
            return self.model or self._choose(client.ask(self.request, deadline))
        finally:
            client.discovering.release()

    async def afind(self, client: Client, deadline: Deadline) -> str:
        """As `find`, in a task."""
        if not await client.discovering.aacquire(deadline):
            raise client.error(LATE)
        try:
            return self.model or self._choose(await client.aask(self.request, deadline))
        finally:
            client.discovering.release()

    def _choose(self, served: list[str]) -> str:
        host = self._endpoint.host
        if not served:
            raise RequestRejectedError(f"{host} lists no model: name one, model=...")
        self.model, self.listwise = served[0], models.is_listwise(served[0])
        self.needed = False
        warn_caller(f"no model was named: using {served[0]!r:.200}, which {host} lists first", UserWarning)
        return served[0]

    def hosted(self) -> list[str]:
        """The models of NVIDIA's host that we know; of any other server none."""
        if not self._endpoint.nvidia:
            return []
        return [model.id for model in models.MODELS if model.hosted and not model.retired]

    def health(self) -> Attempt:
        """What asks a server whether it is ready.

        Raises:
            ValueError: It is NVIDIA's host, which does not tell.
        """
        if self._endpoint.nvidia:
            raise ValueError("NVIDIA's hosted API does not tell its health: ask a server of your own")
        return Attempt(self._endpoint.health)


def is_ready(client: Client, outcome: Outcome) -> bool:
    """Whether it said so; raises ServiceUnavailableError if its certificate is not trusted."""
    if isinstance(outcome, Failure) and outcome.kind == "tls":
        raise client.error(outcome)
    return isinstance(outcome, Reply) and outcome.status == HTTPStatus.OK
