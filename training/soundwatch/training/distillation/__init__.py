"""Distillation from YAMNet: teacher targets, soft labels, initialization.

Never: be needed to run a model.
"""
