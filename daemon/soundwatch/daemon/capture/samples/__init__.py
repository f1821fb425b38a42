"""Raw samples: their formats, headers, decoding and validation.

Never: open a device, a connection or a file.
"""
