"""Content from a real web server, with and without ranges, and from one that has something else."""

import asyncio
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from edited_bundle import SHIPPED, edited_bundle
from receiving_device import Device, Pushing, until

from tidegate.supervisor.bundles.http_source import SourceError, fetch


class Plain(SimpleHTTPRequestHandler):
    """Python's own, which knows no ranges; counts what it sent."""

    sent = 0

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def copyfile(self, source: object, outputfile: object) -> None:
        content = source.read()  # type: ignore[attr-defined]
        type(self).sent += len(content)
        outputfile.write(content)  # type: ignore[attr-defined]


class Ranges(Plain):
    """As every web server answers that one would use for this."""

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if found is None or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()[int(found[1]) : int(found[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        type(self).sent += len(content)
        self.wfile.write(content)


@contextmanager
def serving(directory: Path, handler: type[Plain]) -> Iterator[str]:
    handler.sent = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def published(directory: Path, operator: Pushing) -> Path:
    shutil.copytree(operator.content.directory, directory)
    (directory / "content.index").write_bytes(operator.content.index.to_bytes())
    return directory


@pytest.mark.parametrize("handler", [Ranges, Plain])
def test_it_comes_over_http_without_an_operator(tmp_path: Path, handler: type[Plain]) -> None:
    operator = Pushing(edited_bundle(tmp_path / "new", 1.75))

    async def scenario() -> None:
        with serving(published(tmp_path / "www", operator), handler) as address:
            device = Device(tmp_path)
            verdict = await device.pushed(operator.envelope(5, source=address))
        assert (verdict.state, device.serves, device.asked) == ("accepted", operator.bundle.sha256, [])
        if handler is Ranges:
            changed = sum((tmp_path / "new" / name).stat().st_size for name in ("ladder.json", "bundle.json"))
            assert handler.sent <= changed + len(operator.content.index.to_bytes())

    asyncio.run(scenario())


def test_a_server_that_has_something_else_is_named_and_asked_again(tmp_path: Path) -> None:
    operator = Pushing(edited_bundle(tmp_path / "new", 1.75))

    async def scenario() -> None:
        www = published(tmp_path / "www", operator)
        (www / "ladder.json").write_bytes((SHIPPED / "ladder.json").read_bytes())
        with serving(www, Ranges) as address:
            device = Device(tmp_path)
            await device.push(operator.envelope(5, source=address))
            await until(lambda: "not those that were signed" in (device.verdict.reason if device.verdict else ""))
            (www / "ladder.json").write_bytes((tmp_path / "new" / "ladder.json").read_bytes())
            await until(lambda: device.verdict is not None and device.verdict.state == "accepted")
        assert device.serves == operator.bundle.sha256

    asyncio.run(scenario())


def test_no_server_and_no_file(tmp_path: Path) -> None:
    operator = Pushing(SHIPPED)
    places = list(operator.content.index.places())
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1/"):
        fetch("http://127.0.0.1:1", places, lambda _: True, threading.Event())
    with serving(tmp_path, Plain) as address, pytest.raises(SourceError, match="404"):
        fetch(address, places, lambda _: True, threading.Event())
