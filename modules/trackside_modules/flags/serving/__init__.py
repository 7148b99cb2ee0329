"""Answering flags: rulesets in memory, a snapshot on disk, and the doors to them in the lane."""
