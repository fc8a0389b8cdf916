"""Ways to look inside a network: one file a way, `shelf.load("explainers", name)` gives it."""
