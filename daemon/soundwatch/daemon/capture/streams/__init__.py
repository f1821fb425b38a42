"""Streams from other programs: TCP, UDP, named pipes, standard input, ffmpeg and Wyoming satellites.

Never: reopen a stream after its end.
"""
