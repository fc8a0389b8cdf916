"""How well does the network do while it learns? Loss and rightness over a loader, between two of its steps."""

from __future__ import annotations

import torch
from torch import nn

from seewhy.loading import Loader
from seewhy.processes import ranks


def evaluate(network: nn.Module, loader: Loader, batch: int, device: str | torch.device) -> tuple[float, float]:
    """Mean loss and mean rightness over a loader's labelled rows, in evaluation mode; the mode is put back."""
    was_training = network.training
    network.eval()
    rows = range(len(loader))[ranks.share(len(loader))]
    losses, rights, seen = 0.0, 0.0, 0
    with torch.inference_mode():
        for chunk in loader.batches(rows, batch):
            moved = chunk.to(device)
            output = network(**moved.inputs)
            loss = loader.task.loss(output, moved)
            losses += (
                float(loss.nansum()) if loss is not None else float(loader.task.objective(output, moved)) * len(chunk)
            )
            for answer, row in zip(loader.task.decode(output), rows[seen : seen + len(chunk)], strict=True):
                rights += loader.task.right(answer, loader.dataset.targets[row])
            seen += len(chunk)
    network.train(was_training)
    losses, rights = ranks.total(torch.tensor([losses, rights], dtype=torch.float64)).tolist()
    return losses / len(loader), rights / len(loader)
