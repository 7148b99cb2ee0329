"""What the auth room adds to the product."""

from trackside.module import Module

MODULE = Module(name="auth", title="Members and keys")
