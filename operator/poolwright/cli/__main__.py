"""``python -m poolwright.cli``: the command, where no script is on the PATH."""

from poolwright.cli.main import main

main()
