"""How counts are kept for years: packed histograms, three tiers, the roll-up between them, and retention."""
