"""Sends devices the chunks that they ask for, each question once."""

import paho.mqtt.client as mqtt

from tidegate.fleet.bundle_content import BundleContent
from tidegate.telemetry.payloads.chunks import ChunksWanted, parse_wanted
from tidegate.telemetry.topics import DeviceTopics, TopicError


class ChunkServer:
    """Of one bundle, `content` being None where its content comes another way; called on MQTT's thread.

    `wanted` is what each device asked for last.
    """

    def __init__(self, bundle: str, content: BundleContent | None) -> None:
        self.wanted: dict[str, ChunksWanted] = {}
        self._bundle = bundle
        self._content = content

    def answer(self, client: mqtt.Client, device: str, payload: bytes) -> None:
        """Send what a device asks for in its retained message; one that asks for another bundle gets nothing."""
        wanted = parse_wanted(payload)
        if wanted is None:
            self.wanted.pop(device, None)
            return
        if wanted.bundle != self._bundle or wanted == self.wanted.get(device):
            return
        self.wanted[device] = wanted
        if self._content is None:
            return
        try:
            topic = DeviceTopics(device).chunk
        except TopicError:
            return
        for sha256 in wanted.chunks:
            if (packed := self._content.packed(sha256)) is not None:
                client.publish(topic, packed, qos=1)

    def progress(self, device: str) -> str:
        """How much of it a device has, in words; empty where it does not say."""
        wanted = self.wanted.get(device)
        return "" if wanted is None else f"{wanted.here / 1e6:.1f} of {wanted.size / 1e6:.1f} MB are there"
