"""Images before anything is learnt from them: opened, scanned for what cannot be used, and split."""
