"""What a stranger, a broken program or the owner's own mistake may publish to an agent: good messages spoiled."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from tidegate.content.chunk import Chunk, pack
from tidegate.telemetry.payloads.bundle_envelope import BundlePush, FileDigest, seal_bundle
from tidegate.telemetry.payloads.envelope import PAYLOAD_TYPE, Target, seal
from tidegate.telemetry.payloads.keys_envelope import seal_keys
from tidegate.telemetry.topics import DeviceTopics, bundle_beside, keys_beside
from tidegate.trust.dsse import Envelope, Signature
from tidegate.trust.keys import PrivateKey
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys
from tidegate_bench.mqtt.pushed_device import OPERATOR, policy

STRANGER = PrivateKey(bytes(32 * [66]))
GROUP = "lab"
_DEEP = 20_000
_LARGE_BYTES = 900_000
"""Below the largest packet that the agent lets the broker send; what is larger never reaches it."""
BEYOND_BYTES = 2 << 20

Spoil = Callable[[bytes, Random], bytes]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One message; `expiry_s` is its MQTT message expiry."""

    topic: str
    payload: bytes
    retain: bool = False
    expiry_s: int | None = None


def hostile(device: str, chance: Random) -> Iterator[Hostile]:
    """Without end, in turn for each topic that the agent subscribes to; the same for the same `chance`."""
    made = tuple((topic, make) for topic, make in _topics(device).items())
    while True:
        for topic, make in made:
            payload = make(chance)
            name = topic if not topic.endswith("/input/") else topic + chance.choice(_NAMES)
            expiry_s = chance.choice((None, None, None, None, 0, 60, 2**32 - 1))
            yield Hostile(name, payload, chance.random() < 0.1, expiry_s)


_NAMES = ("x", "x", "y", "n" * 64, "n" * 65, "\u00e4", "$SYS", " ", "a.b", "input", "0", "-", "\U0001f600" * 16)


def _topics(device: str) -> Mapping[str, Callable[[Random], bytes]]:
    own = DeviceTopics(device)
    targets = (Target("device", device), Target("group", GROUP), Target("fleet"))
    topics: dict[str, Callable[[Random], bytes]] = {}
    for target in targets:
        topics[target.topic] = _spoiled(partial(_policy, target))
        topics[keys_beside(target.topic)] = _spoiled(partial(_keys, target))
        topics[bundle_beside(target.topic)] = _spoiled(partial(_bundle, target))
    topics[own.chunk] = _spoiled(lambda chance: pack(chance.randbytes(chance.randint(0, 70_000))))
    topics[own.inputs.removesuffix("+")] = _spoiled(_input)
    topics[own.hold] = _spoiled(lambda chance: chance.choice((b"policy", b"here", b"cheapest", b"no such point")))
    topics["homeassistant/status"] = _spoiled(lambda _: b"online")
    return topics


def _spoiled(make: Callable[[Random], bytes]) -> Callable[[Random], bytes]:
    """Spoiled in one of the ways, one in eight as it was made."""
    return lambda chance: chance.choice(_SPOILS)(make(chance), chance) if chance.random() < 0.875 else make(chance)


# Messages whose form is right, some signed by a key that is trusted: what is in them is not.


def _signers(chance: Random) -> list[PrivateKey]:
    return chance.choice(([], [STRANGER], [OPERATOR], [OPERATOR, STRANGER]))


def _policy(target: Target, chance: Random) -> bytes:
    text = chance.choice(_POLICY_TEXTS)
    # Versions that no good policy has: whatever is accepted of it would be seen.
    version = chance.choice((1, 7, 2**31, 2**53 - 1))
    document = {"policy": text, "version": version, "target": _target(target), "expires": None}
    document |= chance.choice(({}, {"when": "{" * 50}, {"when": "{battery: {above: 1e999 %}}"}, {"x": 1}))
    envelope = Envelope(PAYLOAD_TYPE, json.dumps(document).encode())
    return _twisted(envelope.signed_by(_signers(chance)), chance).to_json()


def _keys(target: Target, chance: Random) -> bytes:
    keys = TrustedKeys((TrustedKey("stranger", STRANGER.public, frozenset(Role)),))
    signers = chance.choice(([], [STRANGER], [OPERATOR]))
    return _twisted(seal_keys(keys, chance.choice((1, 2**53 - 1)), target, signers=signers), chance).to_json()


def _bundle(target: Target, chance: Random) -> bytes:
    sizes = (0, 10, 2**40)
    names = ("bundle.json", "ladder.json", "weights.safetensors")
    files = {name: FileDigest(f"{chance.getrandbits(256):064x}", chance.choice(sizes)) for name in names}
    index = tuple(Chunk(f"{chance.getrandbits(256):064x}", 36) for _ in range(chance.choice((1, 64))))
    push = BundlePush(files, index, chance.choice((1, 7, 2**53 - 1)), target, None)
    # One that is trusted is waited for, while chunks arrive that are not its own.
    sealed = seal_bundle(push, "digits", [OPERATOR if chance.random() < 0.1 else STRANGER])
    return _twisted(sealed, chance).to_json()


def _target(target: Target) -> dict[str, object]:
    return {"fleet": True} if target.name is None else {target.kind: target.name}


def _input(chance: Random) -> bytes:
    return chance.choice(
        (
            b"1",
            b"-1e308",
            b'{"value": 3, "at": 1, "ttl_s": 1}',
            b'{"value": 3, "at": 1e300}',
            b'{"value": 3, "ttl_s": 1e-300}',
            b'{"value": true}',
            b"9" * 1000,
        )
    )


def _twisted(envelope: Envelope, chance: Random) -> Envelope:
    """With other signatures than it had, or of another type."""
    forged = Signature(OPERATOR.public.keyid, chance.randbytes(64))
    return chance.choice(
        (
            envelope,
            replace(envelope, signatures=(forged,) * 16),
            replace(envelope, signatures=(*envelope.signatures, forged)),
            replace(envelope, payload_type="application/vnd.in-toto+json"),
            replace(envelope, payload_type="x" * 1000),
            replace(envelope, payload=b""),
            replace(envelope, payload=envelope.payload[: len(envelope.payload) // 2]),
            replace(envelope, push_id="\u202e" * 60),
        )
    )


_BOMB = "tidegate: 1\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join(9 * ['*' + before])}]\n"
    for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)
_POLICY_TEXTS = (
    policy(7),
    _BOMB,
    "[" * 30_000,
    "a: " * 20_000,
    "? " * 20_000,
    policy(7).replace("5 %", "9" * 10_000 + " %"),
    policy(7) + "rules:\n" + "".join(f"  - {{name: r{n}, when: {{}}, use: full}}\n" for n in range(1_000)),
    policy(7) + "max_accuracy_loss: 1 %\n",
    policy(7).replace("local", "\x00"),
    "tidegate: !!python/object/apply:os.system [true]\n",
    "\ufeff" + policy(7),
    "%YAML 9.9\n---\n" + policy(7),
    policy(7) + "default: {use: " + "x" * 60_000 + "}\n",
)


# Ways in which any message is spoiled.


def _cut(payload: bytes, chance: Random) -> bytes:
    return payload[: chance.randint(0, len(payload))]


def _flipped(payload: bytes, chance: Random) -> bytes:
    spoiled = bytearray(payload)
    for _ in range(chance.randint(1, 8)):
        if spoiled:
            spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


def _again(payload: bytes, chance: Random) -> bytes:
    begin = chance.randint(0, len(payload))
    return payload[:begin] + payload[chance.randint(0, begin) :]


def _other_number(payload: bytes, chance: Random) -> bytes:
    number = chance.choice(
        (b"1e400", b"-0", b"NaN", b"Infinity", b"9" * 5_000, b"1.5", b"null", b"true", b'"1"', b"{}")
    )
    place = payload.find(b'"version": ')
    inside = payload if place < 0 else payload[: place + 11] + number + payload[payload.find(b",", place) :]
    return number if inside is payload and chance.random() < 0.5 else inside


def _inside(payload: bytes, spoil: Callable[[dict[str, object]], object]) -> bytes:
    """With what an envelope holds spoiled; anything that is no envelope stays as it is."""
    try:
        document = json.loads(payload)
        held = json.loads(base64.b64decode(document["payload"]))
        spoiled = json.dumps(spoil(held)).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        return payload
    return json.dumps({**document, "payload": base64.b64encode(spoiled).decode()}).encode()


def _expires(payload: bytes, chance: Random) -> bytes:
    times: tuple[object, ...] = (
        "9999-12-31T23:59:60Z",
        "0000-00-00",
        "2027-01-01T00:00:00",
        1e300,
        -1,
        [],
        "1" * 5_000,
        "\ud800",
    )
    return _inside(payload, lambda held: {**held, "expires": chance.choice(times)})


def _version(payload: bytes, chance: Random) -> bytes:
    versions: tuple[object, ...] = (0, -1, 2**63, 10**400, 1.5, "2", None, True, [])
    return _inside(payload, lambda held: {**held, "version": chance.choice(versions)})


def _to_others(payload: bytes, chance: Random) -> bytes:
    targets: tuple[object, ...] = (
        {"device": "someone"},
        {"fleet": False},
        {},
        {"device": "+"},
        {"group": "#"},
        {"device": "a/b"},
        "all",
    )
    return _inside(payload, lambda held: {**held, "target": chance.choice(targets)})


_CONSTANT = (
    b"",
    b"\x00",
    b"\xff\xfe" * 500,
    b"{}",
    b"[]",
    b"null",
    b'"',
    b"[" * _DEEP,
    b'{"a":' * _DEEP,
    b'{"payload":' + b"[" * _DEEP,
    b'{"payloadType":"x","payloadType":"y","payload":"","signatures":[]}',
    b'{"payloadType":"\\ud800","payload":"","signatures":[]}',
    b'{"payloadType":"x","payload":"' + b"A" * 300_000 + b'","signatures":[]}',
    b'{"payloadType":"x","payload":"","signatures":[' + b'{"keyid":"","sig":""},' * 5_000 + b"{}]}",
    b'{"' + b'a":1,"' * 20_000 + b'b":1}',
    b"\x01" + b"\x78\x9c" + b"\x00" * 60_000,
    b"9" * _LARGE_BYTES,
    b" " * 200_000 + b"1",
)

_SPOILS: tuple[Spoil, ...] = (
    _cut,
    _flipped,
    _again,
    _other_number,
    _expires,
    _version,
    _to_others,
    lambda payload, _: payload.decode(errors="replace").encode("utf-16"),
    lambda payload, _: b"\xef\xbb\xbf" + payload,
    lambda payload, _: payload.replace(b'"payload":', b'"payload":"","payload":'),
    lambda payload, _: json.dumps({"payload": payload.decode(errors="replace")}).encode(),
    lambda _, chance: chance.choice(_CONSTANT),
    lambda _, chance: chance.choice(_CONSTANT),
    lambda _, chance: chance.randbytes(chance.randint(0, 5_000)),
)


def beyond(device: str) -> list[Hostile]:
    """Retained messages of 2 MiB on each topic: the broker must not send what the agent said it won't take."""
    names = [topic + "x" if topic.endswith("/input/") else topic for topic in _topics(device)]
    return [Hostile(name, b"9" * BEYOND_BYTES, retain=True) for name in names]


def good_policy(device: str, version: int) -> Hostile:
    """What the operator pushes at the end: it has to be accepted after all of that."""
    target = Target("device", device)
    return Hostile(target.topic, seal(policy(version), version, target, keys=[OPERATOR]).to_json(), retain=True)
