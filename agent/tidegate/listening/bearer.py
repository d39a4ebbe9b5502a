"""Whether a request shows the token."""

import base64
import binascii
import hmac


def shows(token: str, authorization: str) -> bool:
    """Whether an Authorization header does: as a bearer, or as the password to any user name (RFC 6750, 7617)."""
    scheme, _, credentials = authorization.partition(" ")
    given = credentials.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())
