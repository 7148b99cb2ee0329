"""What the customers room adds to the product."""

from trackside.module import Module

MODULE = Module(name="customers", title="Customers", models="trackside.customers.models")
