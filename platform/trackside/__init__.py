"""Trackside's kernel: what every module may import. It knows no module."""
