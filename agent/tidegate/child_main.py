"""What every child process runs first: `python -P child_main.py PARENT MODULE ARGUMENT...`, see `tidegate.child`.

It ends with its parent, has a name in `ps`, and imports our own packages from beside this very file.
"""

import importlib.util
import runpy
import sys
from contextlib import suppress
from pathlib import Path

_BESIDE = Path(__file__).resolve().parents[1]
LOOKS_ITSELF = "~"
"""Before PARENT: the kernel would take the end of the thread that starts the child for that process's end."""
INDEPENDENT = "-"
"""In place of PARENT: a process that goes on when whoever started it ends."""


def take_name(module: str) -> None:
    """Tell supervisor and worker apart in `ps` and `top`; Linux shows 15 letters."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"tidegate-{module.rpartition('.')[2]}"[:15])


def import_own(package: str) -> None:
    """Import one of our packages from beside this file, whatever the import path holds by that name."""
    directory = _BESIDE / package
    if not directory.is_dir():  # a clone has a source root for each
        directory = _BESIDE.parent / "drivers" / package
    spec = importlib.util.spec_from_file_location(
        package, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{directory} is not a package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)


def main() -> None:
    """The child."""
    parent, module, *arguments = sys.argv[1:]
    import_own("tidegate")
    if parent != INDEPENDENT:
        from tidegate.parent import end_with  # noqa: PLC0415 - only now is it ours for sure

        end_with(int(parent.removeprefix(LOOKS_ITSELF)), by_kernel=not parent.startswith(LOOKS_ITSELF))
    take_name(module)
    import_own("tidegate_drivers")
    if module.startswith("tidegate_bench."):
        import_own("tidegate_bench")
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
