"""What the jobs room adds to the product."""

from trackside.module import Module

MODULE = Module(name="jobs", title="Jobs")
