"""What a shell is offered: by the script that `--show-completion` prints, in a real bash."""

import os
import subprocess
import sys
from pathlib import Path

BASH = """
set -e
source <("$1" --show-completion bash)
for words in "${@:2}"; do
    COMP_WORDS=(tidegate $words); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    _tidegate_completion "$1"
    echo "${COMPREPLY[@]}"
done
"""


def test_words_are_completed(tmp_path: Path) -> None:
    command = tmp_path / "tidegate"
    command.write_text(f"#!{sys.executable}\nfrom tidegate.cli.main import main\n\nmain()\n")
    command.chmod(0o755)
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", str(command), "pol", "config c"],
        env={**os.environ, "SHELL": "/bin/bash"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["policy", "check"]
