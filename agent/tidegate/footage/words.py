"""How much is kept, in a sentence."""

from datetime import UTC, datetime

from tidegate.footage.kept import FootageCount


def in_words(found: FootageCount) -> str:
    """`812 clips and 31 disagreements, 44 MiB, since 2027-06-01 12:00 UTC`"""
    what = f"{found.sampled} clips and {found.disagreements} disagreements"
    if found.oldest_at is None:
        return what
    since = datetime.fromtimestamp(found.oldest_at, UTC)
    return f"{what}, {found.size_bytes / (1 << 20):.1f} MiB, since {since:%Y-%m-%d %H:%M} UTC"
