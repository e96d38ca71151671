"""Where a project lives on disk: frames, correspondences, checkpoints, tracks, and video in and out."""
