"""The command line: a file for each family of commands, registered in `commands`."""

from seewhy.cli.commands import app, main

__all__ = ["app", "main"]
