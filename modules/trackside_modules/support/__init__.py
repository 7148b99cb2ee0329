"""The support log: every interaction with a customer, written down in seconds and measured for ever."""
