"""The way in: what services send is read, made one form, and committed before the answer."""
