"""Certificates of an authority of our own, made by `openssl` as a user would."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HAVE_OPENSSL = shutil.which("openssl") is not None
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path

    @property
    def paths(self) -> dict[str, str]:
        """As agent.yaml names them."""
        return {"certificate": str(self.certificate), "key": str(self.key)}


class Authority:
    """Signs in a directory of its own, for 127.0.0.1 and localhost."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.certificate, self._key = directory / "ca.pem", directory / "ca.key"
        subject = ("-subj", f"/CN={directory.name}", "-days", "2")
        _openssl("req", "-x509", *NEW_KEY, "-keyout", self._key, "-out", self.certificate, *subject)

    def signed(self, name: str, days: int = 2, purpose: str = "serverAuth,clientAuth") -> Pair:
        """A certificate that ends in `days`, which may have been."""
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        asked = self._directory / f"{name}.csr"
        extensions = (
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", f"extendedKeyUsage={purpose}"
        )  # fmt: skip
        _openssl("req", *NEW_KEY, "-keyout", pair.key, "-out", asked, "-subj", f"/CN={name}", *extensions)
        _openssl(
            "x509", "-req", "-in", asked, "-CA", self.certificate, "-CAkey", self._key, "-days", days,
            "-copy_extensions", "copy", "-out", pair.certificate,
        )  # fmt: skip
        return pair


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
