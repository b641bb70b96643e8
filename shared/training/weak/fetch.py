"""Fetches Debian's packages and lists of translations by apt, installs nothing. Runs where apt-get does."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

LANGUAGES = "cs da de el es fi fr hu id it ja ko nb nl pl pt pt_BR ro ru sv tr uk vi zh_CN zh_TW en".split()  # noqa: SIM905

_HELP = "common cs da de el en-us es fi fr hi hu id it ja ko nl pl pt ru sv tr vi zh-cn"
_MANUALS = (
    "cs da de de-dev dev el es fi fr fr-dev hu id it ja ja-dev nb nl pl pl-dev pt-br ro ru ru-dev sv tr vi zh"
)
_REFERENCE = "de en es fr it ja pt zh-cn"
HELP = [f"libreoffice-help-{one}" for one in _HELP.split()]
MAN_PAGES = ["manpages", "git-man", *(f"manpages-{one}" for one in _MANUALS.split())]
BOOKS = [
    *("debian-faq", "debian-handbook", "postgresql-doc-15"),
    *(f"debian-reference-{one}" for one in _REFERENCE.split()),
]


def packages(names: Sequence[str], out: Path) -> None:
    """Downloads packages and unpacks each into a folder of its name; what is there is kept."""
    wanted = [name for name in names if not (out / name).exists()]
    if not wanted:
        return
    out.mkdir(parents=True, exist_ok=True)
    _run("apt-get", "download", *wanted, folder=out)
    for file in sorted(out.glob("*.deb")):
        _run("dpkg-deb", "-x", file.name, file.name.partition("_")[0], folder=out)
        file.unlink()


def translations(out: Path) -> list[Path]:
    """Downloads the descriptions of all packages in every language, as plain text."""
    if not out.exists():
        lists = out.with_name(f"{out.name}-apt")
        lists.mkdir(parents=True, exist_ok=True)
        options = [f"Dir::State::lists={lists.resolve()}", f"Acquire::Languages={','.join(LANGUAGES)}"]
        _run("apt-get", "update", *(f"-o{one}" for one in options), folder=lists)
        part = out.with_name(f"{out.name}-part")
        part.mkdir(exist_ok=True)
        for file in sorted(lists.glob("*_main_i18n_Translation-*")):
            text = _run("/usr/lib/apt/apt-helper", "cat-file", str(file.resolve()), folder=lists)
            (part / f"{file.name.partition('.lz4')[0]}.txt").write_bytes(text)
        part.rename(out)
    return sorted(out.glob("*.txt"))


def _run(*command: str, folder: Path) -> bytes:
    try:
        return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout  # noqa: S603
    except FileNotFoundError as error:
        raise SystemExit(f"{command[0]} is not here: run this on Debian 12, or in its container") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{' '.join(command[:2])} failed: {error.stderr.decode()[-500:]}") from error
