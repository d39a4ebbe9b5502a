"""Frigate's pictures as a network takes them. Pure."""

import numpy as np

from tidegate.engines.engine import Array
from tidegate.worker.frigate.protocol import Picture, Refused


def batch_of(picture: Picture, sample_shape: tuple[int, ...], scale: float) -> Array:
    """One sample of `sample_shape` (c, h, w): raw integers times `scale`, floats as they are. Raises Refused.

    Channels may come last, as Frigate sends them unless its `input_tensor` says nchw.
    """
    values = picture.values
    if values.shape[1:] != sample_shape:
        if len(sample_shape) != 3 or values.shape[1:] != (*sample_shape[1:], sample_shape[0]):
            raise Refused(_misfit(values.shape, sample_shape))
        values = values.transpose(0, 3, 1, 2)
    if values.dtype == np.uint8:
        return np.ascontiguousarray(np.multiply(values, np.float32(scale), dtype=np.float32, order="C"))
    batch = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(batch).all():
        raise Refused(
            "the picture: found values that are no finite numbers; allowed are floats as the network takes"
        )
    # A frame's bytes begin anywhere; kernels read whole vectors.
    return batch if batch.flags.aligned else batch.copy()


def check_fits(picture: Picture, input_shape: tuple[int | None, ...]) -> None:
    """Raises Refused where a handed-over model takes another shape; None stands for any size."""
    found = picture.values.shape
    if _fits(found, input_shape):
        return
    taken = [size or "any" for size in input_shape]
    said = f"the picture: found {list(found)}, Frigate's model takes {taken}"
    for turned, layout in ((_last_first(found), "nchw"), (_first_last(found), "nhwc")):
        if _fits(turned, input_shape):
            raise Refused(f"{said}; set `model.input_tensor: {layout}` in Frigate")
    raise Refused(f"{said}; set `model.width`, `model.height` and `model.input_tensor` to that in Frigate")


def _fits(found: tuple[int, ...], input_shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(input_shape) and all(
        size in {None, have} for size, have in zip(input_shape, found, strict=True)
    )


def _last_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[3], shape[1], shape[2])


def _first_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[2], shape[3], shape[1])


def size_of(picture: Picture) -> tuple[int, int]:
    """(height, width), with the channels where there are fewest."""
    _, first, second, third = picture.values.shape
    return (second, third) if first < third else (first, second)


def _misfit(found: tuple[int, ...], sample_shape: tuple[int, ...]) -> str:
    if len(sample_shape) != 3:
        return f"the bundle's network takes {list(sample_shape)}, which is no picture"
    channels, height, width = sample_shape
    said = f"the picture: found {list(found)}, the bundle's network takes {channels} channels of {width}x{height}"
    return f"{said}; set `model.width: {width}` and `model.height: {height}` in Frigate"
