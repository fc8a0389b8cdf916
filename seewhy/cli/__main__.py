"""`python -m seewhy.cli`, for where no `seewhy` is installed on the path."""

from seewhy.cli import main

main()
