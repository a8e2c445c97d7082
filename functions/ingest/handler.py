"""Lambda entry point of the ingestion API."""

from functions.ingest.routes import app
from minirag.runtime.http import lambda_handler

handler = lambda_handler(app, "ingest")
