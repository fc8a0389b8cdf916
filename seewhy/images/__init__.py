"""Pixels: image files read, images fitted, measured, painted with heat; and where in them the object is."""
