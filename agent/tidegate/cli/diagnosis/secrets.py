"""Which texts are secret on this device, and how they are masked wherever they stand. Masking is pure."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from tidegate.documents import DocumentError, parse, read

MASK = "***"
SHORTEST = 4
"""A shorter text is no secret worth the name, and stands everywhere by chance."""
LARGEST_BYTES = 64 << 10

_NEVER_TOLD = r"pass(?:word|wd|phrase)?|pwd|secret|token|credential|api_?key"
_SECRET_NAME = re.compile(rf"{_NEVER_TOLD}|(^|_)key($|_)|auth", re.IGNORECASE)
_FILE_NAME = re.compile(r"(password|secret|token|key)_file$", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_NAMED_FILE = re.compile(r"(?:password|secret|token|key)_file[\"']?\s*[:=]\s*[\"']?([^\"'\s,}&#]+)", re.IGNORECASE)
"""As YAML, or an address's query, names it; also in a document that does not parse."""
_QUOTED = r"""\"(?:[^\"\\]|\\.)+\"|'(?:[^']|'')+'"""
_NAMED = re.compile(
    rf"""((?:[\w-]*[_-])?(?:{_NEVER_TOLD})["']?[ \t]*[:=][ \t]*)({_QUOTED}|[^\s"'&,;}}\])]+)""",
    re.IGNORECASE,
)
"""A value beside a name that tells what it is: `password: VALUE`, `?token=VALUE`, `"api_key": "VALUE"`."""
_AUTHORIZATION = re.compile(r"(?<=\bBearer )\S+|(?<=\bBasic )[A-Za-z0-9+/]{4,}={0,2}")


def known_secrets(config: Path, environment: Mapping[str, str]) -> frozenset[str]:
    """Passwords and keys that agent.yaml, the files it names, the environment and systemd's credentials hold."""
    found = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    found |= {password for value in environment.values() for password in _passwords_in(value)}
    if directory := environment.get("CREDENTIALS_DIRECTORY"):
        with suppress(OSError):
            for file in Path(directory).iterdir():
                found |= _content(file)
    with suppress(DocumentError):
        text = read(config)
        base = config.resolve().parent
        found |= {each for match in _NAMED_FILE.finditer(text) for each in _content(base / match[1])}
        found |= _of_document(parse(text, str(config)).value, base)
    lines = {line.strip() for each in found for line in each.splitlines()}
    spelt = {form for each in (found | lines) if len(each.strip()) >= SHORTEST for form in _forms(each)}
    return frozenset(each for each in spelt if len(each.strip()) >= SHORTEST)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret, every user of an address, and every value that is named a secret, replaced."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _AUTHORIZATION.sub(MASK, _USER_INFO.sub(MASK, text))
    return _NAMED.sub(rf"\1{MASK}", text)


def _forms(secret: str) -> Iterable[str]:
    """As JSON, YAML, Python, an address and HTTP's headers write it."""
    yield secret
    for plain in {secret, unquote(secret)}:
        yield plain
        yield json.dumps(plain)[1:-1]
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
        yield plain.replace("'", "''")
        yield repr(plain)[1:-1]
        yield quote(plain)
        yield quote(plain, safe="")
        yield b64encode(plain.encode()).decode()


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
