"""Descriptors of pixels: colour patches or a learned network, and the search that corrects flow by them."""
