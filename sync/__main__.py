"""`python -P -m sync --options JSON`: the sync worker."""

import sys

from sync.worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
