"""The keys whose signatures count."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tidegate.config.part import Part
from tidegate.config.values import TopicLevel
from tidegate.documents import refuse
from tidegate.trust.keys import KeyFormatError, parse_public
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys


def _public_key(value: str) -> str:
    try:
        return parse_public(value).text
    except KeyFormatError:
        allowed = "an Ed25519 public key in one line, as `tidegate key show FILE.pub` prints it"
        raise refuse("not a public key", allowed=allowed) from None


RoleName = Literal["policy", "bundle", "key_rotation", "certificate"]


class KeyEntry(Part):
    """A key whose signatures count, and for what."""

    name: TopicLevel = Field(description="what this device calls the key, for example `alice`")
    key: Annotated[str, AfterValidator(_public_key)] = Field(
        description="the public key in one line, as `tidegate key show FILE.pub` prints it"
    )
    roles: tuple[RoleName, ...] = Field(("policy",), strict=False, min_length=1)


class TrustedKeysPart(Part):
    """The keys whose signatures count, and how many of them have to sign: one where no threshold is named."""

    trusted_keys: tuple[KeyEntry, ...] = Field((), strict=False)
    signature_thresholds: dict[RoleName, int] = Field({})

    @model_validator(mode="after")
    def _keys_can_sign(self) -> Self:
        problem = trusted_keys(self).problem()
        if problem is not None:
            at = (
                {"keys": "trusted_keys", "thresholds": "signature_thresholds"}[str(problem.at[0])],
                *problem.at[1:],
            )
            raise refuse(problem.said, allowed=problem.allowed, at=at)
        return self


class KeysFile(TrustedKeysPart):
    """The keys to trust from now on, as `key rotate` takes them, with a version that only grows."""

    version: int = Field(
        ge=1, le=(1 << 53) - 1, description="a whole number above that of the last rotation, from 1"
    )


def trusted_keys(config: TrustedKeysPart) -> TrustedKeys:
    """The keys of a file, as they judge envelopes."""
    keys = tuple(
        TrustedKey(entry.name, parse_public(entry.key), frozenset(map(Role, entry.roles)))
        for entry in config.trusted_keys
    )
    return TrustedKeys(keys, {Role(role): needed for role, needed in config.signature_thresholds.items()})
