"""Pages: what every module's templates, forms and routes stand on."""
