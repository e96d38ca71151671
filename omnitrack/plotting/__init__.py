"""Diagrams of tracks over time, the losses of a fit and evaluations, drawn by matplotlib (an extra)."""
