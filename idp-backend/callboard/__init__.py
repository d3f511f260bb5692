"""Callboard: the backend of an internal developer platform for AI data agents."""

__version__ = "0.1.0"
