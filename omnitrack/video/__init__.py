"""Videos and images: reading and writing them."""
