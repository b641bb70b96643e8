"""Secrets, held so that no repr, pickle or traceback shows them.

A frame that raises has no plain secret among its variables: hold first, then check.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

_LEAST_SECRET = 8  # characters: what is shorter may be a word of anybody's
_RESERVED = ("connection", "content-length", "content-type", "host", "transfer-encoding")


class Key:
    """An API key, or none.

    Args:
        value: A string, anything with `get_secret_value()`, or None. Blanks around it are dropped,
            and nothing else is a key, too.
        explicit: Whether it was passed as an argument, not read from the environment.
        lost: Whether there was one that a pickle did not keep.
    """

    __slots__ = ("_text", "_type", "explicit", "lost")

    def __init__(self, value: object, *, explicit: bool, lost: bool = False) -> None:
        reveal = getattr(value, "get_secret_value", None)
        text = reveal() if reveal else value
        self._text = text.strip() if isinstance(text, str) else ""
        self._type = None if text is None or isinstance(text, str) else type(text).__name__
        self.explicit = explicit and text is not None and text != ""
        self.lost = lost

    @classmethod
    def held(cls, value: object) -> Key:
        """A key that was passed, or the environment's where none was."""
        if isinstance(value, cls):
            return value
        key = cls(value, explicit=True)
        return key if key.explicit else cls(os.environ.get("NVIDIA_API_KEY"), explicit=False)

    def checked(self) -> Key:
        """This key.

        Raises:
            TypeError: It is not a string.
            ValueError: It can't be a key.
        """
        if self._type is not None:
            raise TypeError(f"api_key must be a str or a SecretStr, not {self._type}")
        if self and not self._text.strip("*"):
            raise ValueError("api_key is masked (**********): pass the SecretStr, or its get_secret_value()")
        if not (self._text.isascii() and self._text.isprintable() and " " not in self._text):
            raise ValueError("api_key holds blanks or characters that no key has: pass the key alone")
        return self

    def bearer(self) -> str:
        """The Authorization header's value."""
        return f"Bearer {self._text}"

    def secrets(self) -> list[str]:
        """What must be removed from a server's words."""
        return [self._text] if self else []

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Key(**********)" if self else "Key()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied or pickled")


class ExtraHeaders:
    """Headers of the caller's own; their values may be secret, too.

    Args:
        headers: A mapping of names to values, or None; anything else is refused by `checked`.

    Attributes:
        values: By name.
    """

    __slots__ = ("_wrong", "values")

    def __init__(self, headers: object) -> None:
        self.values: dict[str, str] = dict(headers) if isinstance(headers, Mapping) else {}
        self._wrong = None if headers is None or isinstance(headers, Mapping) else type(headers).__name__

    def checked(self) -> ExtraHeaders:
        """These headers.

        Raises:
            TypeError: They are no mapping of strings.
            ValueError: One can't be sent, or is not the caller's to set.
        """
        if self._wrong:
            raise TypeError(f"headers must be a mapping of str to str, not {self._wrong}")
        for place, name in enumerate(self.values):
            self._check(name, place)
        return self

    def _check(self, name: Any, place: int) -> None:
        if not isinstance(name, str) or not isinstance(self.values[name], str):
            raise TypeError(f"headers must be a mapping of str to str; item {place} is not")
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"the name of header {place} can't be sent")
        if not self.values[name].isascii() or not self.values[name].isprintable():
            raise ValueError(f"the value of header {name!r} can't be sent")
        if name.lower() in _RESERVED:
            raise ValueError(f"header {name!r} is not yours to set: leave it out")

    @property
    def authorize(self) -> bool:
        """Whether they carry an Authorization of their own."""
        return any(name.lower() == "authorization" for name in self.values)

    def secrets(self) -> list[str]:
        """Values that may be secret, with and without a scheme such as Bearer."""
        values = [word for value in self.values.values() for word in (value, *value.split())]
        return [value for value in values if len(value) >= _LEAST_SECRET]

    def without_secrets(self) -> dict[str, str]:
        """What a pickle may hold: nothing that authorizes."""
        return {
            name: value
            for name, value in self.values.items()
            if not any(word in name.lower() for word in ("auth", "key", "token", "secret", "cookie"))
        }

    def __repr__(self) -> str:
        return f"ExtraHeaders({', '.join(map(str, self.values))})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("headers that may hold secrets are not copied or pickled")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What may be secret of a request.

    Attributes:
        key: The key.
        headers: The caller's own.
        keyed: Whether the key goes along.
    """

    key: Key
    headers: ExtraHeaders
    keyed: bool

    def request_headers(self) -> dict[str, str]:
        """Headers to send, in plain: to be made as late as can be, and kept nowhere."""
        key = {"Authorization": self.key.bearer()} if self.keyed else {}
        return self.headers.values | key

    def secrets(self) -> list[str]:
        """What must be removed from a server's words."""
        return self.key.secrets() + self.headers.secrets()
