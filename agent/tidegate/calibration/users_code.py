"""A user's own `package.module:function`: from the working directory, else from what is installed.

What lies in the working directory gets a namespace of its own, so that a user's `yaml.py` or `numpy/net.py` is
found by its name and takes nobody else's place. What it imports comes from the working directory as well, unless
a library by that name is loaded already.
"""

import builtins
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from tidegate.errors import EX_DATAERR, TidegateError

OUR_PACKAGES = frozenset({"tidegate", "tidegate_drivers"})
_NAMESPACE = "_working_directory"


class UsersCodeError(TidegateError):
    """The function can't be had; the message says where it was looked for, or which line of it failed."""

    exit_code = EX_DATAERR


class UsersFunction:
    """A function and the file that it is from; calling it raises UsersCodeError for whatever it raises."""

    def __init__(self, name: str, function: Callable[..., Any], file: str, folder: "_Folder | None") -> None:
        self.name = name
        self.file = file
        self._function = function
        self._folder = folder

    def __call__(self, *arguments: object, **by_name: object) -> Any:
        """What the function returns. Raises UsersCodeError, with the line of the user's file that failed."""
        return _guarded(self.file, self._folder, lambda: self._function(*arguments, **by_name))


def find_function(path: str, root: Path) -> UsersFunction:
    """The function that `package.module:function` names in `root` or installed packages. Raises UsersCodeError."""
    module_name, _, name = path.partition(":")
    parts = module_name.split(".")
    if not name or not all(part.isidentifier() for part in (*parts, *name.split("."))):
        raise UsersCodeError("names no function; allowed is package.module:function, for example net:make")
    folder = _folder(root.resolve())
    file = folder.find(module_name)
    own = file is not None
    if file is not None:
        folder.named.add(parts[0])
        module = _guarded(file, folder, lambda: folder.import_module(module_name))
    else:
        module = _installed(module_name, root)
        file = getattr(module, "__file__", None) or module_name
    try:
        function = attrgetter(name)(module)
    except AttributeError:
        there = ", ".join(sorted(key for key, value in vars(module).items() if _is_own(value, module)))
        raise UsersCodeError(f"{file} has no {name}; it has {there or 'no function at all'}") from None
    if not callable(function):
        raise UsersCodeError(f"{file}: {name} is {type(function).__name__}, needed is a function")
    return UsersFunction(path, function, file, folder if own else None)


def _installed(name: str, root: Path) -> ModuleType:
    inside = root.joinpath(*name.split("."))
    looked = f"{inside}.py, {inside / '__init__.py'} and the installed packages"
    hint = f"; say {name.removesuffix('.py')}:FUNCTION" if (root / name).is_file() else ""
    try:
        if importlib.util.find_spec(name) is None:
            raise UsersCodeError(f"no module {name}: looked for {looked}{hint}")
    except ModuleNotFoundError as error:
        raise UsersCodeError(f"no module {name}: looked for {looked} ({error}){hint}") from None
    module: ModuleType = _guarded(name, None, lambda: importlib.import_module(name))
    return module


def _is_own(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _guarded(file: str, folder: "_Folder | None", run: Callable[[], Any]) -> Any:
    """What `run` gives; what it raises becomes a UsersCodeError that names the last line of the user's in it."""
    try:
        if folder is None:
            return run()
        with folder.under_its_own_names():
            return run()
    except UsersCodeError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError) and error.filename:
            where = f"{error.filename}, line {error.lineno}"
        else:
            root = "" if folder is None else str(folder.root)
            frames = [
                frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)
            ]
            own = [frame for frame in frames if frame.filename != __file__]
            where = f"{own[-1].filename}, line {own[-1].lineno}" if folder and own else file
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UsersCodeError(f"{where}: {type(error).__name__}: {reason}") from error


_folders: dict[Path, "_Folder"] = {}


def _folder(root: Path) -> "_Folder":
    if root not in _folders:
        _folders[root] = _Folder(root, f"{_NAMESPACE}_{len(_folders)}")
        sys.meta_path.insert(0, _folders[root])
    return _folders[root]


class _Folder(MetaPathFinder):
    """The modules of one directory, in `sys.modules` under `namespace`; what they import may be here too."""

    def __init__(self, root: Path, namespace: str) -> None:
        self.root = root
        self.named: set[str] = set()
        """Top-level names that the user asked for: these are theirs whatever else is called so."""
        self._namespace = namespace
        self._builtins = {**vars(builtins), "__import__": self._import}
        package = ModuleType(namespace)
        package.__path__ = [str(root)]
        sys.modules[namespace] = package

    def find(self, name: str) -> str | None:
        """The file of a module in the directory; None when there is none."""
        found = self._spec(name)
        return None if found is None or not found.has_location else found.origin

    def import_module(self, name: str) -> ModuleType:
        """A module of the directory, run if it has not been yet."""
        importlib.invalidate_caches()
        return importlib.import_module(f"{self._namespace}.{name}")

    @contextmanager
    def under_its_own_names(self) -> Iterator[None]:
        """What is pickled says `net.Net`: let its modules be found by their names, where these are free."""
        lent: dict[str, ModuleType] = {}
        try:
            for name, module in list(sys.modules.items()):
                plain = name.removeprefix(f"{self._namespace}.")
                if plain != name and plain not in sys.modules and plain.partition(".")[0] not in OUR_PACKAGES:
                    sys.modules[plain] = lent[plain] = module
            yield
        finally:
            for plain, module in lent.items():
                if sys.modules.get(plain) is module:
                    del sys.modules[plain]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Part of the import system: sees to it that what these modules import comes by `_import`."""
        if not fullname.startswith(f"{self._namespace}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self._builtins)
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - as `__import__` has it
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level or not self._is_ours(name, fromlist or ()):
            return __import__(name, globals, locals, fromlist or (), level)
        importlib.import_module(f"{self._namespace}.{name}")
        if fromlist:
            return __import__(f"{self._namespace}.{name}", globals, locals, fromlist, 0)
        return sys.modules[f"{self._namespace}.{name.partition('.')[0]}"]

    def _is_ours(self, name: str, fromlist: Sequence[str]) -> bool:
        """Whether an import in a user's module means the directory."""
        top, _, below = name.partition(".")
        found = self._spec(name)
        if found is None:
            return False
        loaded, own = sys.modules.get(top), sys.modules.get(f"{self._namespace}.{top}")
        if (own is not None and loaded is own) or top in OUR_PACKAGES:
            return True
        if loaded is None:
            if own is not None or self.find(top) is not None:
                return True
            installed = importlib.util.find_spec(top)
            return installed is None or installed.origin is None  # a namespace package is a folder like this one
        # A folder that is called as a loaded library is meant by what it has, and the library by all else.
        if top not in self.named:
            return False
        return bool(below) or (bool(fromlist) and all(self._spec(f"{name}.{each}") for each in fromlist))

    def _spec(self, name: str) -> ModuleSpec | None:
        path: Sequence[str] | None = [str(self.root)]
        spec = None
        for part in name.split("."):
            spec = None if path is None else PathFinder.find_spec(part, list(path))
            if spec is None:
                return None
            path = spec.submodule_search_locations
        return spec


class _Loader(SourceFileLoader):
    """Runs a module with builtins of its folder."""

    def __init__(self, name: str, path: str, names: dict[str, Any]) -> None:
        super().__init__(name, path)
        self._builtins = names

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code with the builtins of its folder in place of Python's."""
        vars(module)["__builtins__"] = self._builtins
        super().exec_module(module)
