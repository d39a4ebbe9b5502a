"""Passages of the language reference that ships with every Python, as the tokens of BERT without capitals."""

import re
import unicodedata
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import numpy.typing as npt

TOKENS = 32
"""Of a passage, with the marks at its beginning and end; all are that long, so that none is padded."""

_UNKNOWN, _BEGIN, _END = "[UNK]", "[CLS]", "[SEP]"


def passages(n: int, vocabulary: Path, seed: int) -> npt.NDArray[np.int64]:
    """(n, 32) numbers of tokens: a passage may begin with any word, so that two may share some."""
    tokens, starts = _reference(vocabulary)
    rng = np.random.default_rng(seed)
    known = _numbers(vocabulary)
    body = TOKENS - 2
    allowed = starts[starts <= len(tokens) - body]
    chosen = allowed[rng.integers(len(allowed), size=n)]
    found = np.empty((n, TOKENS), np.int64)
    found[:, 0], found[:, -1] = known[_BEGIN], known[_END]
    found[:, 1:-1] = tokens[chosen[:, None] + np.arange(body)]
    return found


def pieces(text: str, known: dict[str, int]) -> list[list[int]]:
    """Numbers of each word's pieces, the longest known first, as BERT's tokenizer without capitals cuts them."""
    plain = "".join(each for each in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(each))
    return [_word(word, known) for word in re.findall(r"[^\W_]+|[^\w\s]|_", plain)]


def _word(word: str, known: dict[str, int]) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(word):
        mark = "##" if at else ""
        end = next((end for end in range(len(word), at, -1) if mark + word[at:end] in known), None)
        if end is None:
            return [known[_UNKNOWN]]
        found.append(known[mark + word[at:end]])
        at = end
    return found


@cache
def _numbers(vocabulary: Path) -> dict[str, int]:
    return {word: number for number, word in enumerate(vocabulary.read_text(encoding="utf-8").splitlines())}


@cache
def _reference(vocabulary: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All tokens of the reference, and where words begin."""
    words = pieces("\n".join(text for _, text in sorted(topics.items())), _numbers(vocabulary))
    lengths = np.array([len(each) for each in words])
    return np.array([number for each in words for number in each]), np.cumsum(lengths) - lengths
