"""How sure can one be of a number? Intervals, differences, tests, and the numbers over classes and groups."""
