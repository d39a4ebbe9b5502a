"""What mkdocs does not know by itself: pages that are written from the program, and pages outside of docs/.

mkdocs calls the functions `on_...` by their names (https://www.mkdocs.org/user-guide/plugins/).
"""

import json
import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tidegate.cli.command_tree import Command, commands
from tidegate.cli.main import application

ROOT = Path(__file__).parent.parent
ELSEWHERE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
"""Pages at the top of the clone, and where they are on the site."""
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The decisions are as many as there are; a page that mkdocs.yml gives no place stands under *More*."""
    nav = config.nav or []
    (pages,) = nav[-1].values()
    names = sorted(file.name for file in (ROOT / "docs" / "decisions").glob("*.md"))
    pages[-1] = {"Decisions": [f"decisions/{name}" for name in names]}
    placed = json.dumps(nav)
    more = [file.name for file in sorted((ROOT / "docs").glob("*.md")) if f'"{file.name}"' not in placed]
    if more:
        nav.append({"More": more})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file in docs/ has."""
    written = {
        "reference/commands.md": commands_page(commands(typer.main.get_command(application()))),
        "reference/agent-yaml.md": schema_page("agent.yaml, key by key", "agent.schema.json"),
        "reference/policy-yaml.md": schema_page("Policies, key by key", "policy.schema.json"),
    }
    for source, target in ELSEWHERE.items():
        if source != "README.md":
            written[target] = from_the_top((ROOT / source).read_text(encoding="utf-8"))
    for target, text in written.items():
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Links that leave docs/ lead to where the site has those pages."""
    here = posixpath.dirname(page.file.src_uri)

    def led(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, found[2]))
        return (
            found[1] + posixpath.relpath(ELSEWHERE[target], here or ".") + found[3]
            if target in ELSEWHERE
            else found[0]
        )

    return LINK.sub(led, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Leave out what the pages do not use, half of it: maps of the scripts, and searching in other languages."""
    scripts = Path(config.site_dir) / "assets"
    for unused in scripts.rglob("*.map"):
        unused.unlink()
    shutil.rmtree(scripts / "javascripts" / "lunr", ignore_errors=True)


def from_the_top(text: str) -> str:
    """A page of the top as one of docs/: what it calls docs/x.md is x.md there."""
    return LINK.sub(lambda found: found[1] + found[2].removeprefix("docs/") + found[3], text)


def commands_page(every: Iterator[Command]) -> str:
    """All commands with their options, in Markdown."""
    lines = ["# All commands", "", "The same as `tidegate man`, which an installed tidegate prints.", ""]
    for command in every:
        lines += [f"## {command.words}", "", "```text", command.usage, "```", "", command.help, ""]
        if command.options:
            lines += ["| | |", "|---|---|"]
            for each in command.options:
                default = "" if each.default is None else f" (`{each.default}`)"
                lines.append(f"| `{each.names}` | {cell(each.help)}{default} |")
            lines.append("")
    return "\n".join(lines)


def schema_page(title: str, name: str) -> str:
    """A JSON Schema of profiles/ as tables: one for the document, and one for each part of it."""
    schema = json.loads((ROOT / "profiles" / name).read_text(encoding="utf-8"))
    parts = schema.get("$defs", {})
    lines = [
        f"# {title}",
        "",
        f"Written from `profiles/{name}`, with which editors complete and check such a file.",
        "",
    ]
    lines += _keys(schema)
    for part, inner in sorted(parts.items()):
        lines += [f"## {heading(part)}", "", cell(inner.get("description", "")), ""]
        lines += _keys(inner) if "properties" in inner else [_kind(inner), ""]
    return "\n".join(lines)


def heading(part: str) -> str:
    """A part's name for people: pydantic calls a generic one by module, arguments and number."""
    found = re.fullmatch(r"(?:[a-z_]+__)?([A-Z][A-Za-z]*?)(?:Part)?(?:_.*__(\d+))?", part)
    if found is None:
        return part
    return f"{found[1]} {found[2]}" if found[2] else found[1]


def _keys(schema: Mapping[str, Any]) -> list[str]:
    lines = ["| key | value | what |", "|---|---|---|"]
    for key, inner in schema["properties"].items():
        required = " (required)" if key in schema.get("required", ()) else ""
        default = inner.get("default")
        # Numbers stand there without the units that they are written with; the pages for people have those.
        told = f" Default: `{json.dumps(default)}`." if isinstance(default, str | bool) else ""
        lines.append(f"| `{key}`{required} | {_kind(inner)} | {cell(inner.get('description', ''))}{told} |")
    return [*lines, ""]


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value may be, in a few words, with links to the parts."""
    if reference := schema.get("$ref"):
        part = heading(reference.rpartition("/")[2])
        return f"[{part}](#{part.lower().replace(' ', '-')})"
    if choices := schema.get("enum"):
        return ", ".join(f"`{choice}`" for choice in choices)
    if "const" in schema:
        return f"`{schema['const']}`"
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(each) for each in several if each.get("type") != "null"))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
    return str(schema.get("type", "any"))


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
