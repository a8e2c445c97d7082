"""Lambda entry point of questions."""

from functions.ask.routes import app
from minirag.runtime.http import lambda_handler

handler = lambda_handler(app, "ask")
