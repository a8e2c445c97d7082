"""Scripts as somebody types them: run as files, with nothing set but the database's address."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_ROOT: Final = Path(__file__).parent.parent.parent


def typed(script: str, database_url: str) -> Run:
    """Runs scripts/SCRIPT with the arguments it is given; by keyword, more variables."""
    variables = {"PATH": os.environ["PATH"], "MINIRAG_DATABASE_URL": database_url}

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, f"scripts/{script}", *map(str, arguments)]
        return subprocess.run(
            command, cwd=_ROOT, env=variables | more, capture_output=True, text=True, timeout=60, check=False
        )

    return run
