"""Elements of BYTES tensors in binary data: each behind its length, in four bytes, little-endian."""

from tidegate.worker.protocol.refusals import BadRequest

LENGTH_BYTES = 4


def elements(content: memoryview, count: int, where: str) -> list[memoryview]:
    """So many elements and nothing else. Raises BadRequest."""
    found = []
    at = 0
    for index in range(count):
        begins = at + LENGTH_BYTES
        at = begins + int.from_bytes(content[at:begins], "little")
        if begins > len(content) or at > len(content):
            raise BadRequest(f"{where}: element {index} ends at byte {at}, there are {len(content)}")
        found.append(content[begins:at])
    if at != len(content):
        raise BadRequest(f"{where}: {count} elements end at byte {at}, there are {len(content)}")
    return found
