"""What pages, API and commands read of flags: lists, history, change requests, comparisons, evidence, documents."""
