"""Why what somebody sent is refused, as one word each: counted and reported beside the reason in full."""

from enum import StrEnum


class Refusal(StrEnum):
    """In the order in which it is looked for."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    NOT_SIGNED = "not_signed"
    UNKNOWN_KEY = "unknown_key"
    WRONG_ROLE = "wrong_role"
    BAD_SIGNATURE = "bad_signature"
    TOO_FEW_SIGNERS = "too_few_signers"
    LOCKS_OUT = "locks_out"
    WRONG_TARGET = "wrong_target"
    TOO_FAR_AHEAD = "too_far_ahead"
    DOWNGRADE = "downgrade"
    OTHER_TEXT = "other_text"
    EXPIRED = "expired"
    NO_ROOM = "no_room"
    INVALID = "invalid"
