"""Names of ONNX nodes as paths of submodules: `/layer1/layer1.0/conv1/Conv` is torch's `layer1.0.conv1`."""

import re

from torch import nn


def path_of(name: str, operator: str) -> str:
    """A path with at least one part, of letters, digits, `_` and `-`."""
    scopes: list[str] = []
    for scope in re.split(r"[/:]+", name.strip("/:")):
        # Exporters give the members of a list their whole path under it.
        if scopes and scope.startswith(f"{scopes[-1]}."):
            scopes.pop()
        scopes.append(scope)
    if len(scopes) > 1 and re.fullmatch(rf"{re.escape(operator)}(_\d+)?", scopes[-1]):
        scopes.pop()
    parts = [re.sub(r"[^A-Za-z0-9_-]", "_", part) for scope in scopes for part in scope.split(".") if part]
    return ".".join(parts) or operator


def put(root: nn.Module, path: str, module: nn.Module) -> str:
    """Make `module` a submodule of `root` at the path, or at one like it where that is taken; gives where."""
    *outer, last = path.split(".")
    holder = root
    where = []
    for part in outer:
        free = _free(holder, part)
        if free not in holder._modules:  # noqa: SLF001 - get_submodule raises where there is none
            holder.add_module(free, nn.Module())
        holder = holder.get_submodule(free)
        where.append(free)
    name, count = _free(holder, last), 1
    while name in holder._modules:  # noqa: SLF001
        count += 1
        name = _free(holder, f"{last}_{count}")
    holder.add_module(name, module)
    return ".".join([*where, name])


def _free(holder: nn.Module, part: str) -> str:
    """The part, unless modules have an attribute by that name that is no submodule."""
    while part not in holder._modules and hasattr(holder, part):  # noqa: SLF001
        part = f"_{part}"
    return part
