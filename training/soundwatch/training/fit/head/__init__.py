"""A head that is fitted on features of a frozen network.

Never: change the layers below the head.
"""
