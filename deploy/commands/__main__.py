"""`python -m deploy.commands`: the same as `weir`."""

from deploy.commands import main

main()
