"""The command `armarius`, and `python -m armarius`."""

import sys

from armarius.cli import main

if __name__ == "__main__":
    sys.exit(main())
