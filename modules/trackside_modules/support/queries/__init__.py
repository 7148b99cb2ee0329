"""Reading the support log: one file a screen or a question."""
