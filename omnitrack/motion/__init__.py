"""The motion field: pure maths, and the models built on it."""
