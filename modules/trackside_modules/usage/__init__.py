"""Usage: what each customer's calls look like, live and for years."""
