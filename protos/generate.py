"""Generate extproc/wire from the .proto files beside this script; with --check, only say whether it is up to date."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
PACKAGE = Path("extproc", "wire")
TARGET = PROTOS.parent / PACKAGE
GENERATED = ("*_pb2.py", "*_pb2.pyi")  # __init__.py is ours


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a generated file is not current")
    only_check = parser.parse_args().check
    wanted, found = generate(), read(TARGET)
    different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if only_check:
        return report(different)
    write(different, wanted)
    return 0


def generate() -> dict[str, bytes]:
    sources = sorted(str(path) for path in (PROTOS / PACKAGE).glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        options = ["-I", str(PROTOS), f"--python_out={folder}", f"--pyi_out={folder}"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *sources], check=True)
        return read(Path(folder) / PACKAGE)


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for pattern in GENERATED for path in folder.glob(pattern)}


def report(different: Iterable[str]) -> int:
    files = ", ".join((PACKAGE / name).as_posix() for name in different)
    if not files:
        return 0
    sys.stdout.write(f"Not what protos/ generates: {files}. Run `python protos/generate.py` and commit the result.\n")
    return 1


def write(different: Iterable[str], wanted: dict[str, bytes]) -> None:
    for name in different:
        if name in wanted:
            (TARGET / name).write_bytes(wanted[name])
        else:
            (TARGET / name).unlink()  # its .proto is gone


if __name__ == "__main__":
    sys.exit(main())
