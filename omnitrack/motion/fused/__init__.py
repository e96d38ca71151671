"""The couplings of a warp as one compiled pass over blocks of points: on all cores of a CPU, or on a GPU.

The modules in torch (`omnitrack.motion.coupling`) remain the reference. They run some twelve hundred operations per
step, each of which reads and writes arrays of all points. Here a block of points passes through all layers while it is
in the cache or in registers, and the backward pass recomputes the activations instead of storing them.

There are two backends with one interface (`fused.BACKENDS`): numba for CPUs (the extra ``fast``), in `carrying` and the
modules it calls; and Triton for GPUs, in `gpu_carrying` and the modules it calls. Without them, or if the initial check
finds a different result, the reference is used.
"""
