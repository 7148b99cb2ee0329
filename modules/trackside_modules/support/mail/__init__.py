"""Mails of the support log, out and in: what they look like, and which interaction they belong to. No SQL, no Flask."""
