"""A device's `/sys` and `/proc` as readable text, a path and its content a line, laid out under a directory.

The drivers read such a directory as they read `/`: it is the `sysroot` of `tidegate_drivers.discover` and of
`tidegate doctor --sysroot`. The trees that come along are written from the kernel's ABI documents.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

_TREES = files("tidegate_drivers.testing") / "trees"
_SUFFIX = ".tree"


def names() -> list[str]:
    """The recorded devices, sorted.

    >>> "raspberry-pi-5" in names()
    True
    """
    return sorted(each.name.removesuffix(_SUFFIX) for each in _TREES.iterdir() if each.name.endswith(_SUFFIX))


def load(name: str) -> dict[str, bytes]:
    """A recorded device: content by path, without the leading slash; a path that ends in a slash is a directory.

    Raises FileNotFoundError for a name that is not among `names()`.

    >>> load("laptop")["sys/class/power_supply/BAT0/type"]
    b'Battery\\n'
    """
    return parse((_TREES / f"{name}{_SUFFIX}").read_text("utf-8"))


def parse(text: str) -> dict[str, bytes]:
    r"""A tree from lines `path: content`; a literal backslash-n separates lines, and `#` begins a comment line.

    >>> parse("proc/stat: cpu 1 2\\ncpu0 1 2")
    {'proc/stat': b'cpu 1 2\ncpu0 1 2\n'}
    """
    tree: dict[str, bytes] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            continue
        name, _, content = line.partition(" ")
        tree[name.removesuffix(":")] = b"" if name.endswith("/") else content.replace("\\n", "\n").encode() + b"\n"
    return tree


def write(tree: Mapping[str, bytes], root: Path) -> None:
    """Make the files under `root`, over what is there. Raises OSError.

    >>> with TemporaryDirectory() as directory:
    ...     write({"proc/uptime": b"5.0 4.0"}, Path(directory))
    ...     (Path(directory) / "proc/uptime").read_text()
    '5.0 4.0'
    """
    for name, content in tree.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)


@contextmanager
def laid_out(name: str) -> Iterator[Path]:
    """The root of a recorded device in a temporary directory, which is gone after the `with` block.

    >>> with laid_out("raspberry-pi-5") as root:
    ...     (root / "sys/class/thermal/thermal_zone0/temp").read_text()
    '82500\\n'
    """
    with TemporaryDirectory(prefix="tidegate-tree-") as directory:
        write(load(name), Path(directory))
        yield Path(directory)
