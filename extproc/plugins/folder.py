"""Policy kinds in the `policies` folder beside a gateway file: every `*.py` in it that does not begin with `_`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from extproc.core.problems import Problem
from extproc.plugins.shape import Found, flaws, is_meant_as_kind

FOLDER: Final = "policies"


class _Fresh(SourceFileLoader):
    """Compiles what the file says now: a cached compilation is told apart by whole seconds only, an edit is not."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def kinds_in(beside: Path, problems: list[Problem]) -> list[Found]:
    """The kinds of the folder beside a file. What cannot be imported, or is no kind, is told in `problems`."""
    folder = beside / FOLDER
    files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_")) if folder.is_dir() else []
    package = _package(folder) if files else ""
    return [found for file in files for found in _kinds_of(file, package, beside, problems)]


def _package(folder: Path) -> str:
    """A name of its own for each folder, so that files may import their neighbours: `from ._shared import ...`."""
    name = f"extproc_policies_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    for old in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[old]
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    importlib.invalidate_caches()
    return name


def _kinds_of(file: Path, package: str, beside: Path, problems: list[Problem]) -> list[Found]:
    shown = f"{FOLDER}/{file.name}"
    try:
        module = _imported(file, f"{package}.{file.stem}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an author's file does, it is a problem of the file
        problems.append(Problem(shown, *_place(error, file), "", f"cannot be imported: {_sentence(error)}"))
        return []
    classes = vars(module).values()
    meant = [Found(kind, shown, _line(kind)) for kind in classes if is_meant_as_kind(kind, module.__name__)]
    if not meant:
        problems.append(Problem(shown, 1, 1, "", "has no policy kind", "name a file that only helps _like_this.py"))
    problems += [found.problem(flaw) for found in meant for flaw in flaws(found.kind)]
    return [found for found in meant if not flaws(found.kind)]


def _imported(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file, loader=_Fresh(name, str(file)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look their module up while it is made
    spec.loader.exec_module(module)
    return module


def _line(kind: type) -> int:
    try:
        return inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):
        return 1


def _place(error: BaseException, file: Path) -> tuple[int, int]:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 1, error.offset or 1
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return (frames[-1] or 1 if frames else 1), 1


def _sentence(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
