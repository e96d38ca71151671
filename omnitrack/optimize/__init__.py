"""Fitting a motion field to correspondences."""
