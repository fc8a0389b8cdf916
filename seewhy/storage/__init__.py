"""What is written to disk and read again: files old or new, weights, tables that are remembered, a run's folder."""
