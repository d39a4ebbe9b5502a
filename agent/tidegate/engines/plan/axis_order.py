"""In which order the axes of a value lie, for runtimes that want images with the channels last. Pure."""

Order = tuple[int, ...]
"""Which of the graph's axes, the samples' among them, lies at each place."""


def plain(rank: int) -> Order:
    """The axes as the graph counts them."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """Of an image (samples, channels, height, width): the channels behind; others as they are."""
    return (0, 2, 3, 1) if rank == 4 else plain(rank)
