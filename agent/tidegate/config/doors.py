"""Where others ask: the inference endpoint, the status page and Frigate's detector."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from tidegate.config.part import Part
from tidegate.config.values import FilePath, HostName, Interface, IpAddress, SocketPath, TopicLevel
from tidegate.documents import refuse
from tidegate.listening.loopback import is_loopback
from tidegate.quantities.units import Duration


class ServerTls(Part):
    """The endpoint's certificate and key in PEM; with `client_ca` clients need a certificate of that authority."""

    certificate: FilePath
    key: FilePath
    client_ca: FilePath | None = None


class Listen(Part):
    """Where the inference endpoint listens; port 0 takes a free one.

    TCP listens on `address`. Where other machines reach that, they have to show the token in `token_file`, or a
    certificate by `tls.client_ca`, unless nothing is asked of them on purpose: `unauthenticated`. The Unix socket
    asks for nothing: its file says who may.
    """

    unix: SocketPath | None = None
    tcp: int | None = Field(None, ge=0, le=65535)
    address: IpAddress = "127.0.0.1"
    token_file: FilePath | None = None
    tls: ServerTls | None = None
    unauthenticated: bool = False

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.unix is None and self.tcp is None:
            raise refuse(
                "no address to listen on",
                allowed="unix, tcp or both",
                hint="for example {unix: tidegate.sock, tcp: 8700}",
            )
        return self

    @model_validator(mode="after")
    def _nobody_unasked(self) -> Self:
        of_tcp = ("address", "token_file", "tls", "unauthenticated")
        for key in of_tcp:
            if self.tcp is None and key in self.model_fields_set:
                raise refuse(
                    "without a port, and a Unix socket asks for nothing: its file says who may",
                    allowed=f"unix alone, or tcp with {', '.join(of_tcp)}",
                    hint="for example `tcp: 8700`",
                    at=(key,),
                )
        asks = [key for key, on in (("token_file", self.token_file), ("tls.client_ca", self._client_ca)) if on]
        if self.unauthenticated and asks:
            raise refuse(
                f"nothing is to be asked, and {' and '.join(asks)} asks",
                allowed="either of them",
                hint="leave `unauthenticated` out",
                at=("unauthenticated",),
            )
        if not is_loopback(self.address) and not asks and not self.unauthenticated:
            raise refuse(
                "other machines reach this address, and nothing is asked of them",
                allowed="127.0.0.1 or ::1, or any address with `token_file`, `tls.client_ca` or, for whoever"
                " reaches it, `unauthenticated: true`",
                hint="make a token with `openssl rand -hex 16`, or stay at 127.0.0.1",
                at=("address",),
            )
        if self._client_ca is not None and self.unix is None:
            raise refuse(
                "this machine's own tools, which have no certificate, could not ask",
                allowed="tls.client_ca together with unix",
                hint="add `unix: tidegate.sock`",
                at=("tls", "client_ca"),
            )
        return self

    @property
    def _client_ca(self) -> Path | None:
        return None if self.tls is None else self.tls.client_ca


class Web(Part):
    """Where a browser finds the status page, at /, and Prometheus /metrics; port 0 takes a free one.

    TCP listens on `address`; where other machines reach that, they have to show the token in `token_file`.
    `hosts` are the names under which a browser asks, beside localhost and this machine's own.
    """

    unix: SocketPath | None = None
    tcp: int | None = Field(None, ge=0, le=65535)
    address: Interface = Field("127.0.0.1", min_length=1)
    token_file: FilePath | None = None
    hosts: tuple[HostName, ...] = Field((), strict=False)

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.unix is None and self.tcp is None:
            raise refuse(
                "no address for the status page and metrics",
                allowed="unix, tcp or both",
                hint="for example {tcp: 9464}, which this machine alone reaches",
            )
        if self.tcp is not None and self.token_file is None and not is_loopback(self.address):
            hint = "make a token with `openssl rand -hex 16`, or stay at 127.0.0.1"
            raise refuse(
                "other machines reach this address, and no token is asked of them",
                allowed="127.0.0.1, ::1 or localhost, or any address with `token_file`",
                hint=hint,
                at=("address",),
            )
        return self


class Frigate(Part):
    """Where Frigate asks for boxes; TCP listens on `address`, port 0 takes a free one. Times in seconds.

    Frigate speaks without a password and without encryption, so another address than this machine's own has to be
    meant: `unauthenticated`. With `hand_over` the model that Frigate sends answers in the place of the bundle.
    `model` names one of `models` to answer in the place of the main one.
    """

    unix: SocketPath | None = None
    tcp: int | None = Field(None, ge=0, le=65535)
    address: IpAddress = "127.0.0.1"
    unauthenticated: bool = False
    hand_over: bool = False
    model: TopicLevel | None = None
    answer_within: Duration = 0.15

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.unix is None) == (self.tcp is None):
            hint = "for example {unix: /run/tidegate/frigate.sock}; in Frigate `endpoint: ipc:///run/tidegate/frigate.sock`"
            raise refuse("Frigate needs one address", allowed="unix or tcp", hint=hint)
        if not is_loopback(self.address) and not self.unauthenticated:
            raise refuse(
                "whoever reaches this address may ask, and with hand_over set the model",
                allowed="127.0.0.1, or another one with `unauthenticated: true`",
                hint="a container reaches a Unix socket in a directory that is mounted into it",
                at=("address",),
            )
        if not 0.01 <= self.answer_within <= 30:
            hint = "less than Frigate's request_timeout_ms, which is 200 by default"
            raise refuse("no time to answer in", allowed="10 ms to 30 s", hint=hint, at=("answer_within",))
        return self
