"""What a reader has read as tensors: `labels` and `text`, beside the raw output."""

from collections.abc import Sequence

import numpy as np

from tidegate.engines.engine import Array
from tidegate.models.comparing import position_labels
from tidegate.models.reading import Text, read_in, spelled
from tidegate.models.task import LabelMap
from tidegate.worker.protocol.datatypes import Stored
from tidegate.worker.protocol.detections import NOTHING

TEXT = "text"


def texts_in(reader: LabelMap, outputs: Array) -> tuple[Text, ...]:
    """What each sample reads."""
    return read_in(reader, position_labels(reader, outputs))


def labels_of(texts: Sequence[Text]) -> Stored:
    """(samples, most) INT64, the longest text's labels being the most; shorter ones are filled up with NOTHING."""
    labels = np.full((len(texts), max(map(len, texts))), NOTHING, np.int64)
    for row, text in zip(labels, texts, strict=True):
        row[: len(text)] = text
    return labels


def spellings(reader: LabelMap, names: Sequence[str], texts: Sequence[Text]) -> list[list[str]]:
    """Of each sample its text in names."""
    return [[spelled(names, text, reader.blank)] for text in texts]
