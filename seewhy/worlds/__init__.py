"""Made images and networks of which the whole truth is known."""

from seewhy.worlds.world import COMPANIONS, NAMES, SPLITS, VARIABLES, Scene, World

__all__ = ["COMPANIONS", "NAMES", "SPLITS", "VARIABLES", "Scene", "World"]
