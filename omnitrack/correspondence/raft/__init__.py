"""RAFT, a network for optical flow: its modules, the all-pairs correlation, and published checkpoints."""
