"""Exposures: who was given which variant of which flag first and when, and how often each was evaluated a day.

    evaluation -> counter (memory that a killed process leaves on disk) -> flags_exposure_batch -> fold -> the tables

A batch is committed under a name of its own before it is taken off the disk, or before its sender is told that it was
accepted; the fold adds what it holds and marks it as applied in one transaction. So a crash at any point loses nothing
and counts nothing twice.
"""
