"""`python -m release.requirements`: what services install, by version and hash, made anew by uv."""

import re
import subprocess
import tempfile

from release.pins import REQUIREMENTS, ROOT
from tidegate.service.release import EXTRAS

ALWAYS = ("onnx", "litert", "metrics", "apple")
# uv looks past upper bounds of Requires-Python: newer ones are for Python before 3.11, pip refuses them.
CONSTRAINTS = "backports-strenum<1.3\n"
HEAD = """\
# {what}, for Linux and macOS and Python 3.11 to 3.14, by
# version and hash. Made by `make requirements`; not edited by hand.
"""


def compiled(extras: tuple[str, ...], *more: str) -> str:
    """What uv resolves for all machines at once."""
    asked = [part for extra in extras for part in ("--extra", extra)]
    every = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header")
    command = ("uv", "pip", "compile", "--quiet", *every, *asked, *more, "pyproject.toml")
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Which file a constraint stood in is of this machine.
    return re.sub(r"^ +# +-[cr] .*\n", "", said, flags=re.MULTILINE)


def only_there(whole: str, base: str) -> str:
    """The entries of packages that the base has none of."""
    entries = re.findall(r"^[a-z0-9-]+==.*\n(?:[ \t].*\n)*", whole, re.MULTILINE)
    have = set(re.findall(r"^([a-z0-9-]+)==", base, re.MULTILINE))
    return "".join(entry for entry in entries if entry.partition("==")[0] not in have)


def main() -> None:
    """Write the file of every service, and one for each extra that may be chosen."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(CONSTRAINTS)
        constraints.flush()
        base = compiled(ALWAYS, "--constraint", constraints.name)
    what = f"Every dependency of an installed service (tidegate[{','.join(ALWAYS)}])"
    REQUIREMENTS.write_text(HEAD.format(what=what) + base)
    for extra in EXTRAS:
        whole = compiled((extra,), "--constraint", str(REQUIREMENTS))
        head = HEAD.format(what=f"What tidegate[{extra}] adds to requirements.txt")
        REQUIREMENTS.with_name(f"requirements-{extra}.txt").write_text(head + only_there(whole, base))


if __name__ == "__main__":
    main()
