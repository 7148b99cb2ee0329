"""Accounts and users: the nouns every module links to."""
