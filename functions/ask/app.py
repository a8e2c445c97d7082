"""The app of the ask function, to which the modules beside this one add their routes."""

from typing import Final

from minirag.runtime.http import create_app

app: Final = create_app("ask")
