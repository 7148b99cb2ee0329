"""What pages say beyond plain rows: ranges, comparisons, patterns, and what is probably wrong."""
