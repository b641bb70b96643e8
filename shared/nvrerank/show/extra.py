"""The packages that only some of this room needs, opened where they are used."""

from __future__ import annotations

from types import ModuleType

from nvrerank.errors import MissingExtraError


def open_pyplot() -> ModuleType:
    """The module matplotlib.pyplot.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise _missing("a plot", error) from error
    return plt


def open_pandas() -> ModuleType:
    """The module pandas.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise _missing("a data frame", error) from error
    module: ModuleType = pd
    return module


def _missing(what: str, error: ImportError) -> MissingExtraError:
    package = (error.name or "a package").split(".")[0]
    return MissingExtraError(f"{what} needs {package}: pip install 'nvrerank[show]'")
