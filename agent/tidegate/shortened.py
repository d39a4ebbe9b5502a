"""Text of any length, cut to what a log line, a message or a screen can take."""

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def shortened(text: str, most: int) -> str:
    """At most `most` characters (2 or more) of a text: what was cut off the end is an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + ELLIPSIS
