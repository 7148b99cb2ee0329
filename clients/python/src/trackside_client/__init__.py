"""What an API's own process needs of Trackside: it depends on the standard library alone, and never on the server.

`trackside_client.usage` is the middleware that reports requests.
"""

VERSION = "0.1.0"
