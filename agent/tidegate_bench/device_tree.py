"""Device trees as readable text: a path and its content a line, written from the kernel's ABI documents."""

from collections.abc import Mapping
from pathlib import Path

DIRECTORY = Path(__file__).parent / "trees"


def names() -> list[str]:
    """The trees that come with tidegate."""
    return sorted(path.stem for path in DIRECTORY.glob("*.tree"))


def load(name: str) -> dict[str, bytes]:
    """One of them: content by path, without the leading slash; a path that ends in a slash is a directory."""
    return parse((DIRECTORY / f"{name}.tree").read_text())


def parse(text: str) -> dict[str, bytes]:
    """From lines `path: content`, where a literal backslash-n separates lines, and `#` begins a comment line."""
    tree: dict[str, bytes] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            continue
        name, _, content = line.partition(" ")
        tree[name.removesuffix(":")] = b"" if name.endswith("/") else content.replace("\\n", "\n").encode() + b"\n"
    return tree


def write(tree: Mapping[str, bytes], root: Path) -> None:
    """Make the files under `root`, over what is there."""
    for name, content in tree.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
