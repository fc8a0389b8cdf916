"""What a network is for: one file a task, `shelf.load("tasks", name)` gives it."""
