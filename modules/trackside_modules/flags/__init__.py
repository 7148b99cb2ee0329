"""Feature flags: who gets which variant of what, where, and since when."""
