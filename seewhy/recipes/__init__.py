"""Stories told from beginning to end: one file a recipe, with its data, networks, training and what to ask of them.

A recipe has `takes`, how long it takes in words, and `run(data, *, ...)`, a generator that tells how far it is and
returns a Report. `seewhy lab NAME` runs it.
"""
