"""Many clips in parallel, in this process, in others, or on Ray (`contract`); the frames of a clip, by `helpers`."""
