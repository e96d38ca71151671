"""Diagrams: tracks over time, the losses of a fit, an evaluation; by matplotlib, which is an extra."""
