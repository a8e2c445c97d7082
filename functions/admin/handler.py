"""Lambda entry point of administration and health."""

from functions.admin.routes import app
from minirag.runtime.http import lambda_handler

handler = lambda_handler(app, "admin")
