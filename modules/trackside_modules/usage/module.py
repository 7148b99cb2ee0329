"""The usage module's manifest."""

from trackside.module import Module

MODULE = Module(name="usage", title="Usage")
