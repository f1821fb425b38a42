"""Files and folders: paths as users write them, replacement in one step, locks, parts that were left behind, clips.

Never: know what a file holds.
"""
