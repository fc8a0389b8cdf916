"""Questions about the tables: one file an audit, `shelf.load("audits", name)` gives it.

An audit never sees a network. `needs(**settings)` names the tables it wants, `check(tables, **settings)` turns them
into Findings; a table it can do without stands in its `optional`. It works on one row, on none, and without labels.
"""
