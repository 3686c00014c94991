"""All runs below some folders: a table of them, one in detail, several beside each other."""
