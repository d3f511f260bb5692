"""The rendering pipeline: same input, same bytes, no I/O.

The backend commits what `render` returns; the composition function hands it to Crossplane.
"""
