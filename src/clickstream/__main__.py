"""`python -m clickstream` is the command `clickstream`."""

from clickstream.cli.main import main

main()
