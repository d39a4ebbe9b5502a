"""Pushes whose power is cut: policies, trusted keys and bundles, and how it is seen that none is half there."""

import asyncio
import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tidegate.fleet.bundle_content import BundleContent, content_of, push_of
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.manifest import MANIFEST
from tidegate.policy.store import digest_of
from tidegate.supervisor.updates.key_rotation import FILE_NAME as KEYS_FILE_NAME
from tidegate.telemetry.payloads.bundle_envelope import seal_bundle
from tidegate.telemetry.payloads.envelope import seal
from tidegate.telemetry.payloads.keys_envelope import seal_keys
from tidegate.trust.keys import PrivateKey
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys
from tidegate_bench.broken import BrokenError
from tidegate_bench.mqtt.push_kills import Story
from tidegate_bench.mqtt.pushed_device import OPERATOR, SHIPPED, TARGET, BundleDevice, PolicyDevice, policy


@dataclass(frozen=True, slots=True)
class PolicyStory:
    """A policy that is accepted, or rolled back as its worker does not answer."""

    answers: bool = True

    @property
    def name(self) -> str:
        """What it is, in words."""
        return "policy accepted" if self.answers else "policy rolled back"

    def begin(self, directory: Path) -> None:
        """Bring version 2 into force."""
        asyncio.run(_policy_pushed(directory, 2))

    def push(self, directory: Path) -> None:
        """Push version 3."""
        asyncio.run(_policy_pushed(directory, 3, answers=self.answers))

    def half_applied(self, directory: Path) -> str:
        """What is half; empty for nothing."""
        return asyncio.run(self._half_applied(directory))

    def left_at(self, directory: Path) -> str:
        """By the state file."""
        document = json.loads((directory / "policies.json").read_text())
        if document["trial"] is not None:
            return "on trial"
        return f"{document['trusted']['outcome']}, version {document['trusted']['version']}"

    async def _half_applied(self, directory: Path) -> str:
        device = PolicyDevice(directory)
        whole = {(version, digest_of(policy(version))) for version in (2, 3)}
        if device.runs not in whole:
            return f"{device.runs} runs, which nobody pushed"
        if device.store.damage:
            return device.store.damage
        again = await device.pushed(_policy_envelope(3))
        if again == "accepted" and device.runs[0] != 3:
            return f"accepted, and version {device.runs[0]} runs"
        if again not in {"accepted", "rolled_back"}:
            return f"repeated by the broker, it ends as {again}"
        if (third := await device.pushed(_policy_envelope(4))) != "accepted":
            return f"the next version ends as {third}"
        return "" if PolicyDevice(directory).runs == (4, digest_of(policy(4))) else "the next version is forgotten"


def _policy_envelope(version: int) -> bytes:
    return seal(policy(version), version, TARGET, keys=[OPERATOR]).to_json()


async def _policy_pushed(directory: Path, version: int, *, answers: bool = True) -> None:
    await PolicyDevice(directory, answers=answers).pushed(_policy_envelope(version))


class BundleStory:
    """A bundle that is accepted, or does harm on trial."""

    def __init__(self, made: Path, *, harm: str = "") -> None:
        self._harm = harm
        self._contents: dict[int, tuple[Bundle, BundleContent]] = {}
        for version in (2, 3, 4):
            place = edited_bundle(made / f"version-{version}", latency_ms=float(version))
            self._contents[version] = open_bundle(place), content_of(place)

    @property
    def name(self) -> str:
        """What it is, in words."""
        return "bundle rolled back" if self._harm else "bundle accepted"

    def begin(self, directory: Path) -> None:
        """Bring version 2 into force."""
        asyncio.run(self._pushed(directory, 2))

    def push(self, directory: Path) -> None:
        """Push version 3."""
        asyncio.run(self._pushed(directory, 3, harm=self._harm))

    def half_applied(self, directory: Path) -> str:
        """What is half; empty for nothing."""
        return asyncio.run(self._half_applied(directory))

    def left_at(self, directory: Path) -> str:
        """By the slots' file."""
        slots = json.loads((directory / "bundles" / "slots.json").read_text())
        if slots["on_trial"]:
            return "on trial"
        if slots["incoming"] is not None:
            return "taken in"
        return f"{slots['trusted']['outcome']}, version {slots['trusted']['version']}"

    async def _half_applied(self, directory: Path) -> str:
        device = BundleDevice(directory, self._contents[3][1])
        names = {bundle.sha256: version for version, (bundle, _) in self._contents.items()}
        if names.get(device.serves.sha256) not in {2, 3}:
            return f"{device.serves.sha256[:12]} serves, which nobody pushed"
        # Each file against the hashes of its manifest.
        open_bundle(device.serves.path)
        again = await device.pushed(self._envelope(3))
        if again not in {"accepted", "rolled_back"}:
            return f"repeated by the broker, it ends as {again}"
        if again == "accepted" and names.get(device.serves.sha256) != 3:
            return "accepted, and another one serves"
        third = BundleDevice(directory, self._contents[4][1])
        if (said := await third.pushed(self._envelope(4))) != "accepted":
            return f"the next version ends as {said}"
        serves = BundleDevice(directory, self._contents[4][1]).serves
        return "" if names.get(serves.sha256) == 4 else "the next version is forgotten"

    def _envelope(self, version: int) -> bytes:
        bundle, content = self._contents[version]
        return seal_bundle(push_of(bundle, content, version, TARGET), "digits", [OPERATOR]).to_json()

    async def _pushed(self, directory: Path, version: int, *, harm: str = "") -> None:
        await BundleDevice(directory, self._contents[version][1], harm=harm).pushed(self._envelope(version))


def edited_bundle(directory: Path, latency_ms: float) -> Path:
    """The shipped bundle as after a new measurement."""
    shutil.copytree(SHIPPED, directory)
    ladder = json.loads((directory / "ladder.json").read_text())
    ladder["points"][0]["figures"]["latency_p50_ms"] = latency_ms
    text = json.dumps(ladder, indent=1).encode()
    (directory / "ladder.json").write_bytes(text)
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["files"]["ladder.json"] = {"bytes": len(text), "sha256": sha256(text).hexdigest()}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return directory


class KeysStory:
    """A rotation of the trusted keys, after which the new key alone may sign policies."""

    name = "keys rotated"
    _NEW = PrivateKey(bytes(32 * [8]))

    def begin(self, directory: Path) -> None:
        """Bring version 2 of a policy into force."""
        asyncio.run(_policy_pushed(directory, 2))

    def push(self, directory: Path) -> None:
        """Push the keys."""
        asyncio.run(self._pushed(directory))

    def half_applied(self, directory: Path) -> str:
        """What is half; empty for nothing."""
        return asyncio.run(self._half_applied(directory))

    def left_at(self, directory: Path) -> str:
        """By whether there is a file of rotated keys."""
        return "rotated" if (directory / KEYS_FILE_NAME).exists() else "not rotated"

    async def _pushed(self, directory: Path) -> None:
        new = TrustedKeys((TrustedKey("new", self._NEW.public, frozenset(Role)),))
        envelope = seal_keys(new, 1, TARGET, signers=[OPERATOR, self._NEW]).to_json()
        keys = PolicyDevice(directory).keys
        await asyncio.to_thread(keys.receive, TARGET.keys_topic, envelope)
        if keys.verdict is None or keys.verdict.state != "accepted":
            raise BrokenError(f"the rotation ends as {keys.verdict}")

    async def _half_applied(self, directory: Path) -> str:
        trusted = [each.name for each in PolicyDevice(directory).keys.trusted.keys]
        if trusted not in (["operator"], ["new"]):
            return f"{trusted} are trusted, which nobody pushed"
        await self._pushed(directory)
        device = PolicyDevice(directory)
        by_old, by_new = seal(policy(3), 3, TARGET, keys=[OPERATOR]), seal(policy(4), 4, TARGET, keys=[self._NEW])
        if (said := await device.pushed(by_old.to_json())) != "refused":
            return f"after the rotation, the old key's policy ends as {said}"
        if (said := await device.pushed(by_new.to_json())) != "accepted":
            return f"after the rotation, the new key's policy ends as {said}"
        return ""


def stories(made: Path) -> tuple[Story, ...]:
    """All of them; bundles are made in a directory."""
    return (
        PolicyStory(),
        PolicyStory(answers=False),
        KeysStory(),
        BundleStory(made / "accepted"),
        BundleStory(made / "harm", harm="it answers wrongly"),
    )
