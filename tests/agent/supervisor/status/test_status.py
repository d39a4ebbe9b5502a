"""Asking an agent for its status: whatever goes wrong is one sentence with what to do."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from tidegate.supervisor.status.socket import StatusError, fetch_status


@pytest.mark.parametrize("said", [b"", b'{"device": "gate-7"', b"\xff\n"])
def test_an_agent_that_hangs_up_is_an_error_in_words(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def hang_up() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(said)

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(StatusError, match=r"status\.sock: the agent hung up"):
            asyncio.run(fetch_status(path))
        thread.join()


def test_a_connection_that_is_cut_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        # Closed with a conversation in the queue: the kernel resets it.
        listening.listen()
        threading.Timer(0.3, listening.shutdown, (socket.SHUT_RDWR,)).start()
        threading.Timer(0.4, listening.close).start()
        with pytest.raises(StatusError, match=r"status\.sock: "):
            asyncio.run(fetch_status(path))


@pytest.mark.parametrize(("what", "words"), [("nothing", "no agent is running"), ("file", "gone|can't be asked")])
def test_no_agent_is_an_error_in_words(tmp_path: Path, what: str, words: str) -> None:
    path = tmp_path / "status.sock"
    if what == "file":
        path.write_text("")
    with pytest.raises(StatusError, match=words):
        asyncio.run(fetch_status(path))
