"""The couplings of a warp as one compiled pass over blocks of points, on all cores of a CPU.

The modules in torch (`omnitrack.motion.coupling`) stay the reference. They run some twelve hundred operations a step,
each of which reads and writes arrays of all points; here a block of points goes through all layers while it is in the
cache, and the backward pass computes it again instead of keeping what the layers knew.

Needs numba, the extra ``fast``; without it, or where a first check finds another result, the reference is used.
"""
