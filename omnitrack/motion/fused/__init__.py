"""The couplings of a warp as one compiled pass over blocks of points: on all cores of a CPU, or on a GPU.

The modules in torch (`omnitrack.motion.coupling`) stay the reference. They run some twelve hundred operations a step,
each of which reads and writes arrays of all points; here a block of points goes through all layers while it is in the
cache or in registers, and the backward pass computes it again instead of keeping what the layers knew.

There are two backends of one interface (`fused.BACKENDS`): numba for CPUs, the extra ``fast``, in `carrying` and what
it calls; and Triton for GPUs, in `gpu_carrying` and what that calls. Without them, or where a first check finds another
result, the reference is used.
"""
