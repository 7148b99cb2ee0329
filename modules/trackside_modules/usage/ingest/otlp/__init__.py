"""OTLP/HTTP: what other people's SDKs send, read strictly and answered in its own words."""
