"""The `extproc` command."""

from __future__ import annotations


def main() -> None:
    from extproc.cli.commands import app  # noqa: PLC0415 - importing this module does no work

    app()


if __name__ == "__main__":
    main()
