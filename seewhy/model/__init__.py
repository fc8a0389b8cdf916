"""A network with all it takes to use it: in memory, on disk, and as a file for other programs."""

from seewhy.model.model import IN_RUN, UNTOLD, Model
from seewhy.model.normalised import Merge, Normalised

__all__ = ["IN_RUN", "UNTOLD", "Merge", "Model", "Normalised"]
