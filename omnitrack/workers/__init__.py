"""Many clips in parallel: one interface (`contract`), run in this process, by local processes, or by Ray."""
