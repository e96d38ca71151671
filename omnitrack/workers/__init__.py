"""Many clips side by side: one interface (`contract`), carried out here, by processes of this machine or by Ray."""
