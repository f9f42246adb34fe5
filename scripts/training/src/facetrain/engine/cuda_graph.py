"""A network's training pass as CUDA graphs: hundreds of small kernels for one launch, at once.

Nothing is compiled. Batches must keep their shape, as those of a run do.
"""

# B batch, C channels, H height, W width

import torch
from torch import Tensor, nn


def capture_at_first_step(module: nn.Module) -> None:
    """Replace a module's forward and backward pass by graphs once the first batch is there.

    In evaluation mode, without gradients and on a CPU the module stays as it is. Autocast around it
    must have ``cache_enabled=False``: a cached cast would be a tensor of another graph.
    """
    own = module.forward

    def forward(x_BCHW: Tensor) -> Tensor:
        if not (x_BCHW.is_cuda and module.training and torch.is_grad_enabled()):
            return own(x_BCHW)
        module.forward = own
        # Capturing runs the module; its statistics must not have seen this batch four times.
        kept = [buffer.clone() for buffer in module.buffers()]
        torch.cuda.make_graphed_callables(module, (x_BCHW.detach().clone(),))
        with torch.no_grad():
            for buffer, value in zip(module.buffers(), kept, strict=True):
                buffer.copy_(value)
        return module.forward(x_BCHW)

    module.forward = forward
