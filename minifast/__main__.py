"""`python -m minifast ...`: the command line, see `minifast.cli`."""
import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
