"""`python -m orchestrator_defs.api ORDER`: the server process of `orchestrator serve`."""

import sys

from orchestrator_defs.api.server.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
