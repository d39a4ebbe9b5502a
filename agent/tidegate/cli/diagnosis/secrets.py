"""Which texts are secret on this device, and how they are masked wherever they stand. Masking is pure."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tidegate.documents import DocumentError, parse, read

MASK = "***"
SHORTEST = 4
"""A shorter text is no secret worth the name, and stands everywhere by chance."""
LARGEST_BYTES = 64 << 10

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?|secret|token|credential|(^|_)key($|_)|api_?key|auth", re.IGNORECASE
)
_FILE_NAME = re.compile(r"(password|secret|token|key)_file$", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def known_secrets(config: Path, environment: Mapping[str, str]) -> frozenset[str]:
    """Passwords and keys that agent.yaml, the files it names, the environment and systemd's credentials hold."""
    found = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    found |= {password for value in environment.values() for password in _passwords_in(value)}
    if directory := environment.get("CREDENTIALS_DIRECTORY"):
        with suppress(OSError):
            for file in Path(directory).iterdir():
                found |= _content(file)
    with suppress(DocumentError):
        found |= _of_document(parse(read(config), str(config)).value, config.resolve().parent)
    lines = {line.strip() for each in found for line in each.splitlines()}
    return frozenset(each for each in (found | lines) if len(each.strip()) >= SHORTEST)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret, and every user of an address, replaced."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _USER_INFO.sub(MASK, text)


def _of_document(value: object, base: Path, name: str = "") -> set[str]:
    if isinstance(value, dict):
        return {each for key, inner in value.items() for each in _of_document(inner, base, str(key))}
    if isinstance(value, list):
        return {each for inner in value for each in _of_document(inner, base, name)}
    if not isinstance(value, str):
        return {str(value)} if _SECRET_NAME.search(name) and not isinstance(value, bool) else set()
    if _FILE_NAME.search(name):
        return _content(base / value)
    found = {value} if _SECRET_NAME.search(name) else set()
    for match in re.finditer(r"password_file=([^&#\s]+)", value):
        found |= _content(base / match[1])
    return found | _passwords_in(value)


def _passwords_in(text: str) -> set[str]:
    """Those in addresses, as `http://user:password@host`."""
    return {match[0].partition(":")[2] for match in _USER_INFO.finditer(text)}


def _content(file: Path) -> set[str]:
    with suppress(OSError):
        if file.is_file() and file.stat().st_size <= LARGEST_BYTES:
            text = file.read_bytes().decode(errors="replace")
            return {text, text.strip()}
    return set()
