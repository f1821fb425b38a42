"""Windows of clips for training: the cache, the plan of an epoch, augmentation and batches.

Never: read labels from files.
"""
