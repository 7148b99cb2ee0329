"""Finding one thing by what people call it: what services and queries share."""
