"""Where a stream's frames come from, in words, without a password. Pure."""

from urllib.parse import urlsplit

from tidegate.messages import StreamSpec


def source_in_words(spec: StreamSpec) -> str:
    """Such as `camera rtsp://cam.lan/1`."""
    if spec.folder is not None:
        return f"folder {spec.folder}"
    if spec.camera is not None:
        return f"camera {without_password(spec.camera)}"
    return f"pipe {spec.lines}" if spec.lines is not None else f"topic {spec.topic}"


def without_password(address: str) -> str:
    """An address without the user and password that it may hold."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "whose address can't be read"
    if parts.username is None and parts.password is None:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
