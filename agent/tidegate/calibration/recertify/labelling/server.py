"""Serves the page to this machine alone: at 127.0.0.1, under a path that only its caller knows."""

import io
import json
import re
import secrets
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.recertify.inputs import FrameGoneError, Inputs
from tidegate.calibration.recertify.labelling.sheet import OpenSheet
from tidegate.models.bundle.evidence import Raw
from tidegate.validation_words import in_words

HOST = "127.0.0.1"
MAX_BODY_BYTES = 4096
SILENT_S = 30.0
"""For so long a browser may say nothing while it asks."""
MODES = {1: "L", 3: "RGB"}
"""By the channels of pictures (channels, height, width)."""


class LabelServer(ThreadingHTTPServer):
    """`url` is where the page is, with its secret path. Raises DataError for inputs that are no pictures."""

    daemon_threads = True

    def __init__(self, sheet: OpenSheet, inputs: Inputs, port: int = 0) -> None:
        """`inputs` are of the shape (channels, height, width). Raises OSError for a port that is taken."""
        shape = _shape_of(inputs)
        if len(shape) != 3 or shape[0] not in MODES:
            raise DataError(
                f"{sheet.path}: inputs of the shape {shape} are no pictures, which the page shows; fill"
                " the column `label` in by hand"
            )
        super().__init__((HOST, port), _Handler)
        self.sheet, self.inputs, self.lock = sheet, inputs, Lock()
        self.secret = secrets.token_urlsafe(16)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """As the base does; a browser that has gone, or says nothing, is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self.server_port}/{self.secret}/"


def _shape_of(inputs: Inputs) -> tuple[int, ...]:
    """Of the first that is still there. Raises DataError."""
    for place in range(len(inputs) - 1):
        with suppress(FrameGoneError):
            return inputs.picture(place).shape
    return inputs.picture(len(inputs) - 1).shape


class _Given(BaseModel):
    """What the page posts: a label by its name, or None to take it back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: NonNegativeInt
    label: str | None


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    server_version, sys_version = "tidegate", ""
    timeout = SILENT_S

    def do_GET(self) -> None:
        name, _, rest = (self._asked() or "nothing").partition("/")
        match name:
            case "page":
                page = Path(__file__).with_name("page.html").read_bytes()
                self._answer(HTTPStatus.OK, page, "text/html; charset=utf-8")
            case "state":
                self._answer_state()
            case "picture":
                self._answer_picture(rest)
            case _:
                self._answer_nothing()

    def do_POST(self) -> None:
        if self._asked() != "label":
            self._answer_nothing()
            return
        # Pages of other places can't send this type without asking first, which nobody here answers.
        length = self.headers.get("Content-Length", "")
        is_short = re.fullmatch(r"[0-9]{1,9}", length) and int(length) <= MAX_BODY_BYTES
        if self.headers.get_content_type() != "application/json" or not is_short:
            self._refuse("needed is a short body of application/json")
            return
        try:
            given = _Given.model_validate_json(self.rfile.read(int(length)))
            with self.server.lock:
                self.server.sheet.give(given.input, given.label)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "body"
            self._refuse(
                f"{where}: {in_words(first['msg'])}; allowed is an input's place and a class's name or null"
            )
        except DataError as error:
            self._refuse(str(error))
        else:
            self._answer_state()

    def log_message(self, *_: object) -> None:
        """Nothing: what matters is in the sheet."""

    def _asked(self) -> str | None:
        """The path behind the secret one, `page` for none; None for any other, and under another host's name."""
        own = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        given, slash, rest = self.path.removeprefix("/").partition("/")
        knows = secrets.compare_digest(given.encode(), self.server.secret.encode())
        if not knows or not slash or self.headers.get("Host", "").lower() not in own:
            return None
        return rest or "page"

    def _answer_state(self) -> None:
        try:
            self._answer(HTTPStatus.OK, json.dumps(self.server.sheet.state()).encode(), "application/json")
        except DataError as error:
            self._refuse(str(error))

    def _answer_picture(self, name: str) -> None:
        """By its place in the data; the sheet, which may be broken by now, says only which are asked for."""
        try:
            asked = {str(row.input): row.input for row in self.server.sheet.rows()}
            picture = self.server.inputs.picture(asked[name]) if name in asked else None
        except DataError as error:
            self._refuse(str(error))
            return
        if picture is not None:
            self._answer(HTTPStatus.OK, png_of(picture), "image/png")
        else:
            self._answer_nothing()

    def _answer_nothing(self) -> None:
        self._answer(HTTPStatus.NOT_FOUND, b"there is nothing here", "text/plain")

    def _refuse(self, why: str) -> None:
        self._answer(HTTPStatus.BAD_REQUEST, why.encode(), "text/plain; charset=utf-8")

    def _answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for header, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)


def png_of(picture: Raw) -> bytes:
    """A picture (channels, height, width): bytes as they are, floats from their least to their largest value.

    What is no finite number is shown as the least.
    """
    from PIL import Image  # noqa: PLC0415 - an extra that sheets filled in by hand do without

    values: Any = picture
    if values.dtype != np.uint8:
        # Between the ends of float32 there is more than float32 can say.
        values = values.astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        values = np.nan_to_num(values, nan=low, posinf=low, neginf=low)
        values = ((values - low) * (255 / max(high - low, 1e-9))).round().astype(np.uint8)
    content = io.BytesIO()
    plain = values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)
    Image.fromarray(np.ascontiguousarray(plain), MODES[len(values)]).save(content, "PNG")
    return content.getvalue()
