"""The files of a bundle: which there are, how large, and whether they are those the manifest vouches for."""

import hashlib
import os
import stat
from pathlib import Path

from tidegate.models.bundle.manifest import FILES, LADDER, MANIFEST, ManifestModel
from tidegate.models.bundle.safetensors_header import tensors_in
from tidegate.models.errors import BundleError

MAX_MANIFEST_BYTES = 16 * 2**20


def manifest_text(path: Path) -> bytes:
    """The text of bundle.json. Raises BundleError when there is none, or an absurdly long one."""
    if not path.is_dir():
        raise BundleError(f"{path}: is not a directory; a bundle is a directory with {MANIFEST} in it")
    if not os.path.lexists(path / MANIFEST):
        raise BundleError(f"{path}: holds no {MANIFEST}, and so is no bundle; name a bundle's own directory")
    _check_regular(path / MANIFEST)
    size = (path / MANIFEST).stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path / MANIFEST}: {size} bytes, allowed are {MAX_MANIFEST_BYTES}")
    return (path / MANIFEST).read_bytes()


def check_files(path: Path, manifest: ManifestModel, max_bytes: int) -> None:
    """Raises BundleError unless the directory holds what its manifest says, within `max_bytes`."""
    expected = {MANIFEST, *FILES}
    found = {entry.name for entry in path.iterdir()}
    if found != expected or set(manifest.files) != set(FILES):
        odd = sorted(found ^ expected) or sorted(set(FILES) - set(manifest.files))
        raise BundleError(f"{path}: a bundle holds exactly {sorted(expected)}; missing or too much: {odd}")
    total = sum(file.bytes for file in manifest.files.values())
    if total > max_bytes:
        raise BundleError(f"{path}: {total} bytes in all, allowed are {max_bytes}")
    for name, file in manifest.files.items():
        _check_regular(path / name)
        size = (path / name).stat().st_size
        if size != file.bytes:
            raise BundleError(f"{path / name}: {size} bytes, {MANIFEST} says {file.bytes}")
        with (path / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != file.sha256:
            raise BundleError(f"{path / name}: sha256 is {digest}, {MANIFEST} says {file.sha256}")
        if name != LADDER:
            tensors_in(path / name)


def _check_regular(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise BundleError(f"{path}: is not a regular file (links are not followed)")
