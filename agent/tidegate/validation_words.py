"""Pydantic's messages in the words that tidegate has for the same."""

import re

_PREFIX = re.compile(r"(?:Value error|Assertion failed), ")
_SHOULD = re.compile(r"\b(?:Input|String|List|Tuple|Set|Dictionary|Mapping|Bytes|Data|Value|Number|URL) should\b")
_SAME_AGAIN = re.compile(r", (?:unable to|got|input is|error in) .*", re.DOTALL)
_WHOLE = {"Field required": "is missing", "Extra inputs are not permitted": "is not known here"}


def in_words(message: str) -> str:
    """One message of a ValidationError, to stand behind what it is about: `must be a valid integer`."""
    if message in _WHOLE:
        return _WHOLE[message]
    said, of_its_own = _SHOULD.subn("must", _PREFIX.sub("", message, count=1), count=1)
    return _SAME_AGAIN.sub("", said) if of_its_own else said
