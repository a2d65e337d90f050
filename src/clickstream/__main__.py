"""`python -m clickstream` is the command `clickstream`."""

from clickstream.app.cli.main import main

main()
