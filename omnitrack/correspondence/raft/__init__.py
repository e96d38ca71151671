"""RAFT, a network for optical flow: its parts, the correlation of all pairs of points, and checkpoints of others."""
