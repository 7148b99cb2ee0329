"""Rate limits: how much an account or user may use, asked by gateways and compared with what usage counted."""
