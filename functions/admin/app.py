"""The app of the admin function, to which the modules beside this one add their routes."""

from typing import Annotated, Final

from fastapi import Query

from minirag.runtime import page
from minirag.runtime.http import create_app

app: Final = create_app("admin")

Limit = Annotated[int, Query(ge=1, le=page.MAX_LIMIT)]
