"""The production WSGI callable: `granian --interface wsgi wsgi:app`, or any other WSGI server."""

from trackside.process import settle
from trackside.serve import build

app = build()
settle()
