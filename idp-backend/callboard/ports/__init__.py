"""What the use cases need from the outside, with its promises; one file each.

Every promise is tested by one contract suite (`tests/contract/`) that runs against each
implementation there is.
"""
