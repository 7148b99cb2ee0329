"""The management API: msgspec types in and out, problem+json, cursors, OpenAPI."""
