"""The command `tuningfork`; also `python -m pipeline.cli`, where the script is not on the path."""

from pipeline.cli.ending import end_quickly
from pipeline.cli.loading import PROCESS
from pipeline.cli.main import main

__all__ = ["command"]


def command() -> None:
    """Run the command line as a program of its own."""
    PROCESS.own = True
    try:
        main()
    except SystemExit as done:
        if done.code is None or isinstance(done.code, int):
            end_quickly(done.code or 0)
        raise


if __name__ == "__main__":
    command()
