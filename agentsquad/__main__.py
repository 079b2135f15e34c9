"""`python -m agentsquad`: the command where no script is on the PATH."""

from agentsquad.cli import main

main()
