"""Background work: tasks in PostgreSQL are the truth, RQ is the doorbell."""
