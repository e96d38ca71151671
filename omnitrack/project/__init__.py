"""A project on disk: frames, products, checkpoints, the index of renders, and the lock."""
