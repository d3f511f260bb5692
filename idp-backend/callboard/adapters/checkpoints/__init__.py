"""Checkpoints of the audit trail: the key, the log on this machine, and places outside Git."""
