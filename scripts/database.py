"""What the scripts that work on the database share: its address from the environment, and errors as sentences."""

import sys
from collections.abc import Callable

from minirag.runtime import db, settings
from minirag.runtime.errors import MiniRagError


def run(work: Callable[[], None]) -> int:
    """Do the work; returns the exit code, and says on standard error what went wrong."""
    try:
        settings.current()
        work()
    except MiniRagError as error:
        print(error.detail, file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"{error}. Set the variables first: set -a; source .local/dev.env; set +a", file=sys.stderr)
        return 2
    finally:
        db.close()
    return 0
