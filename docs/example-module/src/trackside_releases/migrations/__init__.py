"""The module's own line of migrations."""
