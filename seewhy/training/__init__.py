"""The one loop, and all that makes up a training: choices, steps, numbers, small changes of images, a saved model."""

from seewhy.training.loop import Training
from seewhy.training.settings import Settings

__all__ = ["Settings", "Training"]
