"""From what was accepted to counts: the fold, the names it counts under, and what it keeps of single requests."""
