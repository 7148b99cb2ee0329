"""Plain events over HTTP: the door for everything that can send JSON."""
