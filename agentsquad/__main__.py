"""`asq …` and `python -m agentsquad …`."""

import importlib

from agentsquad import loading


def main() -> None:
    """Load the command line, and run what was typed."""
    with loading.unhindered():
        command = importlib.import_module("agentsquad.cli")
    command.main()


if __name__ == "__main__":
    main()
