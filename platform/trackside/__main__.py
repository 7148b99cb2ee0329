"""`python -m trackside`: the command line, where the script is not on the path."""

from trackside.cli import main

main()
