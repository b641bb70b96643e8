"""What a server serves: its models, the one to name, and whether it is ready."""

from __future__ import annotations

import warnings
from http import HTTPStatus

from nvrerank import models
from nvrerank.errors import RequestRejectedError

from .call import Call
from .messages import Failure, Outcome, Request
from .sender import Question, Sender
from .settings import Settings


class Discovery:
    """The model that requests name: the one that was given, or the first that the server lists.

    Args:
        settings: The scorer's.

    Attributes:
        model: Its name; None: not known yet, or not needed.
    """

    def __init__(self, settings: Settings) -> None:
        self.model = settings.model
        self._settings = settings

    def find(self, call: Call, sender: Sender) -> str | None:
        """The model, asked for once, by one caller, if nobody named it."""
        if self._known():
            return self.model
        if not sender.asking.take(call.remaining()):
            raise sender.error(call)
        try:
            return self.model or self._choose(sender.ask(call, self._question()))
        finally:
            sender.asking.give()

    async def afind(self, call: Call, sender: Sender) -> str | None:
        """As `find`, in a task."""
        if self._known():
            return self.model
        if not await sender.asking.atake(call.remaining()):
            raise sender.error(call)
        try:
            return self.model or self._choose(await sender.aask(call, self._question()))
        finally:
            sender.asking.give()

    def models(self, sender: Sender) -> list[str]:
        """All that are served; of NVIDIA's host those we know."""
        return self._hosted() or sender.ask(Call(self._settings.timeout), self._question())

    async def amodels(self, sender: Sender) -> list[str]:
        """As `models`, in a task."""
        return self._hosted() or await sender.aask(Call(self._settings.timeout), self._question())

    def ready(self, sender: Sender) -> bool:
        """Whether the server says that it is ready."""
        call, request = Call(self._settings.timeout), self._health()
        return _is_ready(sender, call, sender.send(call, request))

    async def aready(self, sender: Sender) -> bool:
        """As `ready`, in a task."""
        call, request = Call(self._settings.timeout), self._health()
        return _is_ready(sender, call, await sender.asend(call, request))

    def _known(self) -> bool:
        return self.model is not None or not self._settings.endpoint.protocol.needs_model

    def _choose(self, served: list[str]) -> str:
        host = self._settings.endpoint.host
        if not served:
            raise RequestRejectedError(f"{host} lists no model: name one, model=...")
        self.model = served[0]
        warnings.warn(f"no model was named: using {served[0]!r:.200}, which {host} lists first", stacklevel=6)
        return served[0]

    def _question(self) -> Question[list[str]]:
        endpoint = self._settings.endpoint
        return Question(Request(endpoint.models), endpoint.protocol.read_models)

    def _hosted(self) -> list[str]:
        if not self._settings.endpoint.nvidia:
            return []
        return [model.id for model in models.MODELS if model.hosted and not model.retired]

    def _health(self) -> Request:
        if self._settings.endpoint.nvidia:
            raise ValueError(
                "NVIDIA's hosted API does not tell its health: ready() is for a server of your own"
            )
        return Request(self._settings.endpoint.health)


def _is_ready(sender: Sender, call: Call, outcome: Outcome) -> bool:
    if isinstance(outcome, Failure):
        if outcome.kind == "tls":
            raise sender.error(call, outcome)
        return False
    return outcome.status == HTTPStatus.OK
