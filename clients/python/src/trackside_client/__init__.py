"""What an API's own process needs of Trackside; it never depends on the server.

`trackside_client.usage` is the middleware that reports requests, with the standard library alone;
`trackside_client.flags` checks flags, and `trackside_client.openfeature` does by OpenFeature.
"""

VERSION = "0.1.0"
