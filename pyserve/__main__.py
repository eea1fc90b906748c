"""`python -m pyserve` is the same as the command `pyserve`."""

import sys

from pyserve.server.cli import main

if __name__ == "__main__":
    sys.exit(main())
