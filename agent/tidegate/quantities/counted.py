"""How many there are, in words."""


def counted(count: int, noun: str) -> str:
    """`1 device`, `2 devices`: for nouns whose plural ends in s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
