"""Descriptors of pixels: patches of colours or a learned network, and the search that corrects flow by them."""
