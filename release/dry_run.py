"""`make release-dry-run`: everything that a release consists of, in dist/release, checked and published nowhere.

Wheel and source archive are built twice and have to be the same bytes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from release.licences import PAGE, stated, texts
from release.pins import FILES, all_pins
from release.sbom import bill_of_materials
from release.vendored import vendored, without_licence
from tidegate import RELEASED, __version__

ROOT = Path(__file__).parent.parent
OUT = ROOT / "dist" / "release"
# What was released is as old as its release, whenever it is built; zip files know no time before 1980.
BUILT_AT = datetime(RELEASED.year, RELEASED.month, RELEASED.day, tzinfo=UTC)


def main() -> int:
    """Build and check; 0, or 1 with what is wrong."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    steps: tuple[tuple[str, Callable[[], str]], ...] = (
        ("version, date and CHANGELOG agree", check_version),
        ("wheel and source archive", build_packages),
        ("their metadata", check_metadata),
        ("the site", build_site),
        ("requirements with hashes", copy_requirements),
        ("licences", write_licences),
        ("bill of materials", write_bill),
        ("checksums", write_checksums),
    )
    failed = False
    for number, (name, step) in enumerate(steps, 1):
        print(f"{number}/{len(steps)} {name}: ", end="", flush=True)
        try:
            print(step())
        except (LookupError, OSError, ValueError, subprocess.CalledProcessError) as error:
            failed = True
            print(f"FAILED: {error}")
            if isinstance(error, subprocess.CalledProcessError):
                print(error.stdout, error.stderr, sep="\n")
    if not failed:
        print(f"\nin {OUT.relative_to(ROOT)}:")
        for file in sorted(OUT.iterdir()):
            print(f"{file.stat().st_size:>12,}  {file.name}")
        print("nothing was published; CONTRIBUTING.md has the steps of a release")
    return int(failed)


def check_version() -> str:
    """tests/test_release.py."""
    _python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_release.py")
    return f"{__version__} of {RELEASED:%Y-%m-%d}"


def build_packages() -> str:
    """Twice; ValueError if the bytes differ."""
    first = _build(OUT)
    again = OUT / "again"
    second = _build(again)
    shutil.rmtree(again)
    if first != second:
        raise ValueError(f"built twice, and not the same: {first} and {second}")
    return f"{', '.join(first)}; twice the same bytes"


def check_metadata() -> str:
    """By twine, as PyPI reads it."""
    files = [str(file) for file in OUT.iterdir()]
    _python("-m", "twine", "check", "--strict", *files)
    return f"twine takes {len(files)} files"


def build_site() -> str:
    """Strictly, into one zip file with the same bytes each time."""
    built = OUT / "site"
    _python("-m", "mkdocs", "build", "--strict", "--site-dir", str(built), NO_MKDOCS_2_WARNING="1")
    archive = OUT / f"tidegate-{__version__}-docs.zip"
    pages = sorted(file for file in built.rglob("*") if file.is_file())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for page in pages:
            entry = zipfile.ZipInfo(str(page.relative_to(built)), BUILT_AT.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(entry, page.read_bytes())
    shutil.rmtree(built)
    return f"{sum(page.suffix == '.html' for page in pages)} pages"


def copy_requirements() -> str:
    """As services install them."""
    for file in FILES:
        shutil.copy(file, OUT)
    found = all_pins()
    return f"{len(found)} pins, {sum(len(pin.sha256) for pin in found)} hashes"


def write_licences() -> str:
    """Texts of all packages that are pinned."""
    names = dict.fromkeys(pin.name for pin in all_pins())
    if bare := without_licence(ROOT / "agent"):
        raise LookupError(f"no licence beside {', '.join(map(str, bare))}")
    copied = vendored(ROOT / "agent")
    told = texts(names, stated(PAGE.read_text(encoding="utf-8")))
    told += "".join(
        f"\n\n{each.name}, copied into the package: {each.licence}\n\n{each.text}\n" for each in copied
    )
    (OUT / "licences.txt").write_text(told, encoding="utf-8")
    return f"of {len(names)} packages, and of {len(copied)} libraries copied into ours"


def write_bill() -> str:
    """CycloneDX, held against its schema."""
    (wheel,) = OUT.glob("*.whl")
    found = all_pins()
    licences = stated(PAGE.read_text(encoding="utf-8"))
    copied = vendored(ROOT / "agent")
    bill = bill_of_materials(__version__, _sha256(wheel), found, licences, copied, BUILT_AT)
    (OUT / "tidegate.cdx.json").write_text(bill, encoding="utf-8")
    return f"{len(found) + len(copied)} components, valid"


def write_checksums() -> str:
    """For `sha256sum --check`."""
    files = sorted(file for file in OUT.iterdir() if file.is_file())
    lines = [f"{_sha256(file)}  {file.name}\n" for file in files]
    (OUT / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return f"of {len(files)} files"


def _build(into: Path) -> dict[str, str]:
    epoch = str(int(BUILT_AT.timestamp()))
    _python("-m", "hatchling", "build", "-d", str(into), SOURCE_DATE_EPOCH=epoch)
    return {file.name: _sha256(file) for file in sorted(into.iterdir()) if file.is_file()}


def _python(*arguments: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
