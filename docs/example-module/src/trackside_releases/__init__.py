"""Releases of your API, as marks on every chart of Trackside."""
