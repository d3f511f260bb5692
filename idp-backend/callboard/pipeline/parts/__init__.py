"""The groups of objects that the steps put together."""
