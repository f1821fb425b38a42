"""Export: a checkpoint in, verified ONNX and TorchScript files out.

Never: change a model, or leave a file that failed verification.
"""

import soundwatch.daemon  # noqa: F401  # switches off the usage reporting of libraries before any is imported
