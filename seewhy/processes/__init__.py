"""Several processes at one job: ranks that share it, and workers that decode ahead."""
